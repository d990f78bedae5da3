"""What became of a contributor's branches: asked of the forge for them alone, it is what the whole log says."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from medforge.base_module import BaseModule
from medforge.client.branch_fate import ForgeLog
from medforge.proto import forge_pb2 as pb
from medforge.proto.connection import Connection
from medforge.proto.remote import RemoteForge
from tests.aggregator.forges import settings_of
from tests.aggregator.serving import serving


class OfAll(RemoteForge):
    """A forge of an earlier version, which sends the whole log whoever is asked for."""

    def log_entries(self, after: int = 0, contributor: str = "", names: bool = False) -> Iterator[pb.LogEntry]:
        return super().log_entries(after)


@pytest.fixture(scope="module")
def at(eventful: Path, tmp_path_factory: pytest.TempPathFactory, tiny_base: BaseModule) -> Iterator[str]:
    copied = tmp_path_factory.mktemp("served") / "forge"
    shutil.copytree(eventful, copied)
    with serving(copied, tiny_base, settings=settings_of("routed", "output", "gated")) as (_, address):
        yield address


@pytest.mark.parametrize("contributor", ["north", "south", "east", "nobody", "%", ""])
def test_it_is_what_the_whole_log_says(at: str, contributor: str) -> None:
    with RemoteForge(Connection(at)) as remote, OfAll(Connection(at)) as of_all:
        told, whole = ForgeLog(remote, contributor), ForgeLog(of_all, contributor)
        assert told.fates(contributor) == whole.fates(contributor)
        for branch in {one.branch for one in whole.commits if one.contributor == contributor}:
            assert told.fate(branch) == whole.fate(branch)
        assert told.fate("0" * 64) == whole.fate("0" * 64)


def test_no_more_is_sent_than_that_takes(at: str) -> None:
    with RemoteForge(Connection(at)) as remote:
        told = list(remote.log_entries(contributor="north"))
        assert [one.commit.number for one in told if one.HasField("commit")] == [1, 3, 4, 7]
        assert [one.arrival.contributor for one in told if one.HasField("arrival")] == ["north"]
        assert [one.commit.number for one in remote.log_entries(4, "north") if one.HasField("commit")] == [7]
