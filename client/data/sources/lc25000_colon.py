"""The two colon classes of LC25000."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medforge.client.data.published.lc25000 import OPTIONS, READS, REFUSES, open_organ
from medforge.client.data.registration import data_source
from medforge.client.data.request import Request

if TYPE_CHECKING:
    from medforge.client.data.task import Task

CLASSES = {"colon_aca": "colon adenocarcinomas", "colon_n": "benign colon tissues"}


@data_source(
    name="lc25000-colon",
    about="LC25000 colon histology, 2 classes",
    options=OPTIONS,
    reads=READS,
    refuses=REFUSES,
    files=("groups",),
)
def open_colon(request: Request) -> Task:
    """Open the two colon classes as `open_organ` does."""
    return open_organ(request, "colon", CLASSES)
