"""The names that a data source of another package is written with; docs/how-to-add-a-data-source.md uses them."""

from medforge.client.data.assemble import LabelledFiles, labelled_files, make_task
from medforge.client.data.registration import data_source
from medforge.client.data.request import READING_OPTIONS, Request
from medforge.client.data.splits import Parts, Strata, divide, hold_out
from medforge.client.data.task import Split, Task
from medforge.errors import InvalidInput

__all__ = [
    "READING_OPTIONS",
    "InvalidInput",
    "LabelledFiles",
    "Parts",
    "Request",
    "Split",
    "Strata",
    "Task",
    "data_source",
    "divide",
    "hold_out",
    "labelled_files",
    "make_task",
]
