"""The way of a gRPC arrival: from the ledger to `MainBranch.fold`, and nothing else."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from medforge.aggregator.forge.forge import Forge
from medforge.base_module import BaseModule
from medforge.manifest import Manifest
from medforge.proto.connection import Connection
from medforge.proto.remote import RemoteForge
from tests.aggregator.forges import branches
from tests.aggregator.serving import serving, upload, wait_until_folded


@pytest.fixture
def served(tmp_path: Path, tiny_base: BaseModule) -> Iterator[tuple[Forge, RemoteForge]]:
    with serving(tmp_path / "forge", tiny_base) as (forge, address), RemoteForge(Connection(address)) as remote:
        yield forge, remote


def test_the_server_knows_nothing_of_flower() -> None:
    program = "import sys; import medforge.aggregator.server.server; sys.exit('flwr' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_fold_reads_no_forge_item_back(
    tmp_path: Path, served: tuple[Forge, RemoteForge], tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    forge, remote = served
    asked: list[str] = []
    monkeypatch.setattr(Forge, "load_item", lambda self, commit: asked.append(commit.digest))
    monkeypatch.setattr(Forge, "load_branch", lambda self, number: asked.append(str(number)))
    for number, branch in enumerate(branches(tiny_base), start=1):
        upload(remote, branch, tmp_path / str(number))
        remote.submit(branch.manifest.to_bytes())
        wait_until_folded(forge, number)
    assert asked == []


def test_a_submit_parses_one_manifest(
    tmp_path: Path, served: tuple[Forge, RemoteForge], tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    forge, remote = served
    monkeypatch.setattr(forge.ledger, "unfolded", lambda limit=None: [])  # nothing is folded meanwhile
    (branch,) = branches(tiny_base, 1)
    upload(remote, branch, tmp_path / "branch")
    parsed: list[bytes] = []
    parse = Manifest.parse

    def counting(data: bytes) -> Manifest:
        parsed.append(data)
        return parse(data)

    monkeypatch.setattr(Manifest, "parse", counting)
    remote.submit(branch.manifest.to_bytes())
    assert parsed == [branch.manifest.to_bytes()]
