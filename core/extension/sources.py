"""The names that a data source of another package is written with; docs/how-to-add-a-data-source.md uses them."""

from medforge.client.data.assemble import LabelledFiles, labelled_files, make_task
from medforge.client.data.listing import Listing, task_of
from medforge.client.data.pixels.files import ImageFiles, content_ids, list_images
from medforge.client.data.problems import Problems, SourceProblems
from medforge.client.data.registration import data_source
from medforge.client.data.request import READING_OPTIONS, NamedSource, Request
from medforge.client.data.split_names import split_meant
from medforge.client.data.splits import Parts, Strata, divide, hold_out
from medforge.client.data.tables.named_files import NamedFiles
from medforge.client.data.tables.roles import find_column
from medforge.client.data.tables.table import Table, read_table
from medforge.client.data.task import Split, Task
from medforge.errors import InvalidInput

__all__ = [
    "READING_OPTIONS",
    "ImageFiles",
    "InvalidInput",
    "LabelledFiles",
    "Listing",
    "NamedFiles",
    "NamedSource",
    "Parts",
    "Problems",
    "Request",
    "SourceProblems",
    "Split",
    "Strata",
    "Table",
    "Task",
    "content_ids",
    "data_source",
    "divide",
    "find_column",
    "hold_out",
    "labelled_files",
    "list_images",
    "make_task",
    "read_table",
    "split_meant",
    "task_of",
]
