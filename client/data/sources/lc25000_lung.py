"""The three lung classes of LC25000."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medforge.client.data.published.lc25000 import OPTIONS, READS, REFUSES, open_organ
from medforge.client.data.registration import data_source
from medforge.client.data.request import Request

if TYPE_CHECKING:
    from medforge.client.data.task import Task

CLASSES = {
    "lung_scc": "lung squamous cell carcinomas",
    "lung_aca": "lung adenocarcinomas",
    "lung_n": "benign lung tissues",
}


@data_source(
    name="lc25000-lung",
    about="LC25000 lung histology, 3 classes",
    options=OPTIONS,
    reads=READS,
    refuses=REFUSES,
    files=("groups",),
)
def open_lung(request: Request) -> Task:
    """Open the three lung classes as `open_organ` does."""
    return open_organ(request, "lung", CLASSES)
