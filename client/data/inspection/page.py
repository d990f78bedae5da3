"""What was found in a data set as one HTML page that loads nothing from elsewhere."""

from __future__ import annotations

from medforge.client.data.inspection.contact_sheets import Sheet
from medforge.client.data.inspection.report import Inspection
from medforge.look.page import templates

MOST = 200
"""Problems and warnings that are listed; more are counted."""


def render(source: str, found: Inspection, sheets: list[Sheet]) -> str:
    """Write the page of an inspection, with a sheet of pictures for each class."""
    parts = tuple(found.classes[0].images) if found.classes else ()
    return (
        templates("medforge.client.data.inspection")
        .get_template("check.html.j2")
        .render(source=source, found=found, sheets=sheets, parts=parts, most=MOST)
    )
