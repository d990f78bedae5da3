"""`flwr run apps/flower` on both of Flower's engines: real processes, real HTTP, TLS and keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from medforge.aggregator.forge.forge import Forge
from medforge.client.workspace import Workspace
from tests.apps.engines import APP, Engine, engine, free_port, make_certificates, make_node_key
from tests.apps.test_flower_app import config

pytestmark = [pytest.mark.timeout(600)]


def _write(path: Path, values: dict[str, object]) -> Path:
    """Write a run configuration as TOML."""
    lines = [f"{name} = {str(value).lower() if isinstance(value, bool) else value!r}" for name, value in values.items()]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def _contributors(out: object) -> list[tuple[str, str]]:
    forge = Forge.open(Path(str(out)) / "forge")
    try:
        return [(one.contributor, one.task) for one in forge.ledger.arrivals()]
    finally:
        forge.close()


def test_a_simulation_folds_every_centre_and_leaves_no_process(tmp_path: Path, tiny_spec: str) -> None:
    pytest.importorskip("ray", reason="Flower simulates with Ray: pip install 'medforge[flower]'")
    asked = config(tmp_path, tiny_spec, arrivals="south,north")
    port = free_port()
    with engine(tmp_path / "flower") as flower:
        flower.connect(port)
        log = flower.start("superlink", "flower-superlink", "--insecure", "--simulation", "--port", port)
        flower.wait(log, "Uvicorn running")
        said = flower.call(
            "flwr", "run", APP, "here", "--stream", "-c", _write(tmp_path / "run.toml", asked),
            "--federation-config", "num-supernodes=3",
        )  # fmt: skip
    assert "arrival 2: north for lung" in said
    assert _contributors(asked["out"]) == [("south", "south"), ("north", "lung")]
    assert flower.left() == []


def test_a_deployment_takes_branches_from_registered_nodes_over_tls(tmp_path: Path, tiny_spec: str) -> None:
    asked = config(tmp_path, tiny_spec, branches=2, patience=20.0)
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
        logs = [_node(flower, name, tmp_path, port, authority, tls) for name in ("north", "south", "stranger")]
        said = flower.call("flwr", "run", APP, "here", "--stream", "-c", _write(tmp_path / "run.toml", asked))
        stranger = logs[-1].read_text(encoding="utf-8")
    assert "the run ended before" not in said
    assert sorted(_contributors(asked["out"])) == [("north", "lung"), ("south", "lung")]
    assert "flwr-clientapp" not in stranger
    assert Workspace(tmp_path / "work-north").audited is not None
    assert flower.left() == []


def _node(flower: Engine, name: str, tmp_path: Path, port: int, authority: Path, tls: tuple[object, ...]) -> Path:
    seed = {"north": 1, "south": 2}.get(name, 3)
    own = {
        "centre": name,
        "task": "lung",
        "source": f"tissue:lung,train={24 + seed},validation=24,test=6",
        "workspace": str(tmp_path / f"work-{name}"),
    }
    return flower.start(
        name, "flower-supernode", "--superlink", f"127.0.0.1:{port}", "--root-certificates", authority,
        "--auth-supernode-private-key", tmp_path / name, "--port", free_port(), *tls,
        "--node-config", " ".join(f'{key}="{value}"' for key, value in own.items()),
    )  # fmt: skip
