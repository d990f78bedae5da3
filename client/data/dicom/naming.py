"""What sentences call a DICOM file: its path, without what its header says of a person."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from medforge.client.data.dicom.library import pydicom
from medforge.errors import InvalidInput, MedForgeError

HIDDEN = "*"
SHORTEST = 3
"""Letters and digits that a value must have to be looked for: shorter ones are everywhere."""

_PERSONAL = frozenset({"PN", "LO", "SH", "UI", "DA", "DT", "TM", "AE", "UC", "LT", "ST", "UT"})

_WHOSE = [
    "AccessionNumber",
    "OtherPatientIDs",
    "PatientBirthDate",
    "PatientID",
    "PatientName",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "StudyDate",
    "StudyInstanceUID",
]


@contextmanager
def naming(place: Callable[[], str]) -> Iterator[None]:
    """Put the place before every sentence that is raised, and make a sentence of what the system says of a file."""
    try:
        yield
    except MedForgeError as error:
        raise type(error)(f"{place()} {error}") from error
    except MemoryError as error:
        raise InvalidInput(f"{place()} needs more memory than there is; make it smaller") from error
    except OSError as error:
        raise InvalidInput(f"{place()} cannot be read ({error.strerror}); check its permissions") from error


class FilePlaces:
    """Name the files below `root` for sentences.

    Archives call folders and files after patients and identifiers, and a sentence may go into a log. So each part of a
    path that holds a value of the file's own header is shown as `*`, and how to find the file is said instead.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def of(self, path: Path) -> str:
        """Return the path as it may be shown."""
        values = _values(path)
        parts = path.relative_to(self.root).parts
        shown = [HIDDEN if _holds(part, values) else part for part in parts]
        if HIDDEN not in shown:
            return str(path)
        number = 1 + self._sorted.index(os.fsencode(path))
        return f"{Path(self.root, *shown)} (line {number} of: find {self.root} -type f | LC_ALL=C sort)"

    @cached_property
    def _sorted(self) -> list[bytes]:
        return sorted(os.fsencode(Path(folder, name)) for folder, _, names in os.walk(self.root) for name in names)


def names_a_person(text: str, path: Path) -> bool:
    """Say whether a text holds a name, a number or a date by which the header of a file tells whose it is."""
    return _holds(text, _values(path, _WHOSE))


def _values(path: Path, tags: list[str] | None = None) -> set[str]:
    """Return what the header of a file, or of another one beside it where it cannot be read, says of a person."""
    for file in (path, *sorted(path.parent.iterdir())):
        try:
            dataset = pydicom().dcmread(file, stop_before_pixels=True, force=True, specific_tags=tags)
            found = {text for element in dataset if element.VR in _PERSONAL for text in _texts(element.value)}
        except Exception:  # a header that cannot be read says nothing
            continue
        if found:
            return found
    return set()


def _texts(value: Any) -> Iterator[str]:
    # a person's name can be iterated too, letter by letter
    for text in value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else [value]:
        for part in (str(text), *re.split(r"[\^=\s]+", str(text))):
            if len(bare := _bare(part)) >= SHORTEST:
                yield bare


def _holds(part: str, values: set[str]) -> bool:
    text = _bare(part)
    return any(value in text for value in values)


def _bare(text: str) -> str:
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text)).casefold()
