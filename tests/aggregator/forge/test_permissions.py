"""Nobody but its owner reads a forge's directory, whatever the umask says."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.fsck import check_forge
from medforge.aggregator.identity.invite import invite
from medforge.base_module import BaseModule
from medforge.files import SHARED, make_private, open_to_others, write_atomically, written_whole
from medforge.proto.connection import Connection
from medforge.proto.remote import RemoteForge
from tests.aggregator.serving import serving, upload, wait_until_folded
from tests.making import make_branch


@pytest.fixture
def everything_open() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("everything_open")
def test_nobody_else_reads_a_forge_or_a_kit(tiny_base: BaseModule, tmp_path: Path) -> None:
    directory = tmp_path / "forge"
    with serving(directory, tiny_base, tls=True) as (forge, at):
        kit = invite(forge, "Centre A", at, tmp_path / "kit")
        branch = make_branch(tiny_base, contributor="Centre A")
        with RemoteForge(Connection(at, kit)) as remote:
            upload(remote, branch, tmp_path / "branch")
            remote.submit(branch.manifest.to_bytes(), kit.sign_submit(branch.digest))
        wait_until_folded(forge, 1)
        assert list(open_to_others(directory)) == []  # also what lies beside the database while it is open
    assert list(open_to_others(directory)) == []
    assert list(open_to_others(tmp_path / "kit")) == []
    for made in (directory / "ledger.sqlite", directory / "policy.json", directory / "lock"):
        assert stat.S_IMODE(made.stat().st_mode) == 0o600
    forge = Forge.open(directory)
    assert [problem for check in check_forge(forge) for problem in check.problems] == []
    (directory / "policy.json").chmod(0o640)
    (directory / "blobs").chmod(0o755)
    assert [problem for check in check_forge(forge) for problem in check.problems] == [
        f"2 files or folders can be read by others on this machine, such as {directory / 'blobs'}; run "
        f"`chmod -R go= {directory}`, on a file system that keeps permissions"
    ]
    forge.close()


@pytest.mark.usefixtures("everything_open")
def test_only_what_is_handed_on_is_for_others(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a" / "b" / "private", b"")
    write_atomically(tmp_path / "c" / "shared", b"", SHARED)
    make_private(tmp_path / "d" / "e")
    make_private(tmp_path / "c")  # is there, and stays as somebody made it
    with written_whole(tmp_path / "table.csv") as file:
        file.write("name,class\n")
    found = {str(path.relative_to(tmp_path)) for path in open_to_others(tmp_path)}
    assert found - {"."} == {"c", "c/shared"}
    with pytest.raises(FileExistsError):
        make_private(tmp_path / "table.csv")


def test_a_forge_on_a_groups_folder_works_as_any_other(tiny_base: BaseModule, tmp_path: Path) -> None:
    """A folder that hands its group on makes folders of that group; they stay closed to it all the same."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o2775)
    with serving(shared / "forge", tiny_base) as (forge, at):
        branch = make_branch(tiny_base)
        with RemoteForge(Connection(at)) as remote:
            upload(remote, branch, tmp_path / "branch")
            remote.submit(branch.manifest.to_bytes())
        wait_until_folded(forge, 1)
    assert list(open_to_others(shared / "forge")) == []
    # opened to the group by hand, it goes on as well, and fsck says so
    for path in (shared / "forge").rglob("*"):
        path.chmod(path.stat().st_mode | (0o070 if path.is_dir() else 0o060))
    with serving(shared / "forge", tiny_base) as (forge, at), RemoteForge(Connection(at)) as remote:
        assert remote.describe().commits == 1
        assert any("can be read by others" in problem for check in check_forge(forge) for problem in check.problems)
