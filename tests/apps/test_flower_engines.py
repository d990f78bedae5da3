"""`flwr run apps/flower` on both of Flower's engines: real processes, real HTTP, TLS and keys."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.identity.invite import invite
from medforge.aggregator.ledger.records import State
from medforge.client.workspace import Workspace
from tests.apps.engines import APP, RUN_SECONDS, Engine, engine, free_port, make_certificates, make_node_key
from tests.apps.test_flower_app import config
from tests.programs import Server

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.timeout(600)]


def _write(path: Path, values: dict[str, object]) -> Path:
    """Write a run configuration as TOML."""
    lines = [f"{name} = {str(value).lower() if isinstance(value, bool) else value!r}" for name, value in values.items()]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def _command() -> str:
    """Return what README.md has people type."""
    found = re.search(
        r"^(.*flwr run apps/flower .*?) +#", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert found is not None
    return found[1]


def _contributors(out: object) -> list[tuple[str, str]]:
    forge = Forge.open(Path(str(out)) / "forge")
    try:
        return [(one.contributor, one.task) for one in forge.ledger.arrivals()]
    finally:
        forge.close()


def _head(out: object) -> str:
    forge = Forge.open(Path(str(out)) / "forge")
    try:
        head = forge.ledger.head()
        assert head is not None
        return head.digest
    finally:
        forge.close()


def test_the_readmes_command_simulates_every_centre_alike_and_leaves_no_process(tmp_path: Path, tiny_spec: str) -> None:
    pytest.importorskip("ray", reason="Flower simulates with Ray: pip install 'medforge[flower]'")
    asked = config(tmp_path, tiny_spec, arrivals="south,north")
    port = free_port()
    with engine(tmp_path / "flower") as flower:
        flower.connect(port)
        log = flower.start("superlink", "flower-superlink", "--insecure", "--simulation", "--port", port)
        flower.wait(log, "Uvicorn running")
        said = flower.call("bash", "-c", f"{_command()} -c {_write(tmp_path / 'run.toml', asked)}", place=ROOT)
        assert "arrival 2: north for lung" in said
        assert _contributors(asked["out"]) == [("south", "south"), ("north", "lung")]
        # the same once more, from nothing: one seed, one head
        Path(asked["out"]).rename(tmp_path / "first")
        flower.call("bash", "-c", f"{_command()} -c {tmp_path / 'run.toml'}", place=ROOT)
    assert _head(asked["out"]) == _head(tmp_path / "first")
    assert flower.left() == []


def test_a_deployment_takes_branches_of_registered_nodes_over_tls_also_of_one_that_was_gone_and_came_back(
    tmp_path: Path, tiny_spec: str
) -> None:
    asked = config(tmp_path, tiny_spec, branches=2, patience=120.0, again=5.0)
    authority, certificate, key = make_certificates(tmp_path)
    port = free_port()
    tls = ("--ssl-ca-certfile", authority, "--ssl-certfile", certificate, "--ssl-keyfile", key)
    with engine(tmp_path / "flower") as flower:
        flower.connect(port, authority)
        log = flower.start("superlink", "flower-superlink", *tls, "--port", port, "--enable-supernode-auth")
        flower.wait(log, "Uvicorn running")
        for name in ("north", "south"):
            flower.call("flwr", "supernode", "register", make_node_key(tmp_path / name), "here")
        make_node_key(tmp_path / "stranger")

        def start(name: str) -> Path:
            proofs = ("--root-certificates", authority, "--auth-supernode-private-key", tmp_path / name)
            return _node(flower, name, tmp_path, port, proofs, tls)

        logs = [start(name) for name in ("north", "south", "stranger")]
        options = _write(tmp_path / "run.toml", asked)
        run = flower.start("run", "flwr", "run", APP, "here", "--stream", "-c", options)
        _until(lambda: (tmp_path / "work-north" / "training").exists(), "the node began to train")
        # as a shutdown does: after a power cut Flower refuses a node's key until its last heartbeat is a minute old
        flower.kill("north", signal.SIGTERM)
        start("north")
        _until(lambda: "page " in run.read_text(encoding="utf-8"), "the run ended")
        said, stranger = run.read_text(encoding="utf-8"), logs[-1].read_text(encoding="utf-8")
    assert "the run ended before" not in said
    assert sorted(_contributors(asked["out"])) == [("north", "lung"), ("south", "lung")]
    assert "flwr-clientapp" not in stranger
    assert Workspace(tmp_path / "work-north").audited is not None
    assert flower.left() == []


def test_a_superlink_that_is_killed_loses_nothing_that_goes_in_by_the_forges_own_door(
    tmp_path: Path, tiny_spec: str
) -> None:
    asked = config(tmp_path, tiny_spec, branches=1, patience=60.0, deliver="grpc")
    out, options = tmp_path / "run", _write(tmp_path / "run.toml", asked)
    out.mkdir()
    port = free_port()
    with Server(out / "forge", tiny_spec, "--tls", "--policy", "admission.behaviour=false") as served:
        served.up()
        forge = Forge.open(out / "forge")
        kit = invite(forge, "north", served.at, tmp_path / "kit").directory
        with engine(tmp_path / "flower") as flower:
            flower.connect(port)
            link = ("flower-superlink", "--insecure", "--port", port)
            flower.wait(flower.start("superlink", *link), "Uvicorn running")
            _node(flower, "north", tmp_path, port, ("--insecure",), (), kit=kit)
            flower.call("flwr", "run", APP, "here", "-c", options)
            work = Workspace(tmp_path / "work-north")
            _until(lambda: (work.path / "training").exists(), "the node began to train")
            flower.kill("superlink")
            _until(lambda: forge.ledger.arrivals(State.FOLDED) != [], "the branch was folded")
            assert work.committed == forge.ledger.arrivals()[0].branch
            # the node has its receipt, and run again it says so at once
            flower.kill("north")
            flower.wait(flower.start("superlink", *link), "Uvicorn running")
            _node(flower, "north", tmp_path, port, ("--insecure",), (), kit=kit)
            said = flower.call("flwr", "run", APP, "here", "--stream", "-c", options)
        forge.close()
    assert "arrival 1: north for lung, folded" in said, said
    assert "the run ended before" not in said
    assert len(_contributors(out)) == 1
    assert flower.left() == []


def _until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + RUN_SECONDS
    while not holds():
        assert time.monotonic() < end, f"never so: {what}"
        time.sleep(0.05)


def _node(
    flower: Engine,
    name: str,
    tmp_path: Path,
    port: int,
    proofs: tuple[object, ...],
    tls: tuple[object, ...],
    **more: object,
) -> Path:
    """Start a SuperNode that proves itself by ``proofs`` and serves its own ClientApps by ``tls``; return its log."""
    seed = {"north": 1, "south": 2}.get(name, 3)
    own = {
        "centre": name,
        "task": "lung",
        "source": f"tissue:lung,train={24 + seed},validation=24,test=6",
        "workspace": str(tmp_path / f"work-{name}"),
        **more,
    }
    return flower.start(
        name, "flower-supernode", "--superlink", f"127.0.0.1:{port}", *proofs, "--port", free_port(), *tls,
        "--node-config", " ".join(f'{key}="{value}"' for key, value in own.items()),
    )  # fmt: skip
