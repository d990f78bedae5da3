"""OSV's file of known vulnerabilities, asked without a network.

OSV publishes all it knows of an ecosystem as one zip of JSON files, one a vulnerability (https://ossf.github.io/osv-schema).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from medforge.errors import InvalidInput

ECOSYSTEM = "PyPI"
Record = dict[str, Any]


class Database:
    """Records of the OSV schema by package; withdrawn ones are left out.

    Raises InvalidInput for a file that is no such zip.
    """

    def __init__(self, path: Path) -> None:
        self._by_package: dict[str, list[Record]] = defaultdict(list)
        self.count = 0
        try:
            with ZipFile(path) as archive:
                for name in sorted(archive.namelist()):
                    self._add(json.loads(archive.read(name)))
        except (OSError, BadZipFile, ValueError, TypeError, KeyError, AttributeError) as error:
            raise InvalidInput(
                f"{path} is not OSV's file of vulnerabilities; fetch all.zip of the ecosystem {ECOSYSTEM} again"
            ) from error
        if not self._by_package:
            raise InvalidInput(f"{path} knows of no vulnerability in {ECOSYSTEM}; fetch all.zip of that ecosystem")

    def _add(self, record: Record) -> None:
        if "withdrawn" in record:
            return
        self.count += 1
        for name in {name for name, _ in _affected(record)}:
            self._by_package[name].append(record)

    def find(self, name: str, version: str) -> list[Record]:
        """Return the records that say that a version of a package is vulnerable."""
        wanted = canonicalize_name(name)
        return [
            record
            for record in self._by_package.get(wanted, [])
            if any(one == wanted and is_affected(affected, version) for one, affected in _affected(record))
        ]


def is_affected(affected: Record, version: str) -> bool:
    """Say whether one `affected` of a record means a version: by its list of versions, or by a range of them.

    What cannot be read as a version counts as affected: one finding too many is looked at, one too few is not.
    """
    try:
        asked = Version(version)
        listed = version in affected.get("versions", ()) or asked in _readable(affected.get("versions", ()))
        ranges = [one["events"] for one in affected.get("ranges", ()) if one["type"] == "ECOSYSTEM"]
        return listed or any(_in_range(asked, events) for events in ranges)
    except InvalidVersion:
        return True


def _affected(record: Record) -> Iterable[tuple[str, Record]]:
    for affected in record.get("affected", ()):
        package = affected.get("package", {})
        if package.get("ecosystem") == ECOSYSTEM:
            yield canonicalize_name(package["name"]), affected


def _readable(versions: Iterable[str]) -> Iterable[Version]:
    # a list names what was published, so what nobody can read there is not what was asked for
    for version in versions:
        try:
            yield Version(version)
        except InvalidVersion:
            continue


def _in_range(asked: Version, events: list[dict[str, str]]) -> bool:
    """Return what the last event at or before a version says, as the schema's algorithm does."""
    inside = False
    for kind, at in sorted(((*event.items(),)[0] for event in events), key=lambda event: _place(*event)):
        if kind == "introduced":
            inside = inside or at == "0" or asked >= Version(at)
        elif asked > Version(at) or (kind == "fixed" and asked == Version(at)):
            inside = False
    return inside


def _place(kind: str, at: str) -> tuple[Version, bool]:
    # "0" stands before every version; at one version what begins there comes after what ends there
    return (Version("0.dev0") if at == "0" else Version(at), kind == "introduced")
