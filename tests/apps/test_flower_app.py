"""The Flower app: its parts in one process over a grid in memory, then real runs of both engines."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, Message, MessageType, RecordDict

from medforge.aggregator.forge.forge import Forge
from medforge.client.workspace import Workspace
from medforge.errors import InvalidInput
from medforge.proto.flower import is_busy
from tests.aggregator.grids import Answer, MemoryGrid, Node

APP = Path(__file__).parents[2] / "apps" / "flower"
if str(APP) not in sys.path:
    sys.path.insert(0, str(APP))

from medforge_flower import client_app, server_app  # noqa: E402
from medforge_flower.node import node_of  # noqa: E402
from medforge_flower.plan import Plan  # noqa: E402

DEFAULTS: dict[str, Any] = tomllib.loads((APP / "pyproject.toml").read_text())["tool"]["flwr"]["app"]["config"]
SMALL = (
    "train.plugin.rank=2 train.plugin.alpha=4 train.epochs=1 train.batch=16 distill.ipc=2 distill.steps=2 "
    "distill.real_batch=6 distill.candidates=1 distill.score_steps=2"
)


def config(tmp_path: Path, base: str, **changes: Any) -> dict[str, Any]:
    centres = "north=lung@tissue:lung,train=24,validation=24,test=6 south=tissue:colon,train=24,validation=24,test=6"
    given = {"out": str(tmp_path / "run"), "base": base, "changes": SMALL, "centres": centres, "override": "a test"}
    # what two steps of training give would not pass the examination
    given |= {"policy": "admission.behaviour=false", "poll": 0.01}
    return DEFAULTS | given | changes


def asks(config: dict[str, Any], **node: Any) -> Any:
    """Answer an invitation as the node's app does."""

    def answer(invitation: Message) -> Answer:
        context = Context(1, 1, node, RecordDict(), config)
        reply = client_app.app(invitation, context)
        return reply.error if reply.has_error() else reply.content

    return answer


def run(config: dict[str, Any], nodes: dict[int, Node]) -> Forge:
    server_app.app(MemoryGrid(nodes), Context(1, 0, {}, RecordDict(), config))
    return Forge.open(Path(config["out"]) / "forge")


def test_nodes_train_and_the_server_folds_them_in_their_turns(tmp_path: Path, tiny_spec: str) -> None:
    asked = config(tmp_path, tiny_spec, arrivals="south,north")
    # the node that is to come first replies last, and a simulation may have more nodes than centres
    nodes = {30 + part: Node(asks(asked, **{"partition-id": part}), replies=3 - part) for part in range(3)}
    forge = run(asked, nodes)
    try:
        arrivals = forge.ledger.arrivals()
        assert [(one.contributor, one.task) for one in arrivals] == [("south", "south"), ("north", "lung")]
        assert [commit.arrival for _, commit in forge.ledger.commits()] == [1, 2]
    finally:
        forge.close()
    assert "lung" in (tmp_path / "run" / "page" / "index.html").read_text(encoding="utf-8")


def test_a_node_that_cannot_says_why_and_stops_nobody(
    tmp_path: Path, tiny_spec: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = config(tmp_path, tiny_spec, patience=0.01)
    own = {"centre": "east", "source": f"folder:{tmp_path / 'nowhere'}", "workspace": str(tmp_path / "east")}
    forge = run(asked, {1: Node(asks(asked, **own)), 2: Node(asks(asked, **{"partition-id": 1}))})
    try:
        assert [one.contributor for one in forge.ledger.arrivals()] == ["south"]
    finally:
        forge.close()
    said = capsys.readouterr().out
    assert "not merged: the node could not make a branch: folder:" in said.replace(str(tmp_path), "")
    assert "nowhere does not exist; check the path" in said
    assert not (tmp_path / "east").exists()


def test_a_node_that_is_asked_while_its_branch_is_made_says_so(tmp_path: Path, tiny_spec: str) -> None:
    asked = config(tmp_path, tiny_spec)
    with Workspace(tmp_path / "run" / "centres" / "north").locked():
        reply = asks(asked, **{"partition-id": 0})(Message(RecordDict(), 1, MessageType.TRAIN))
    assert isinstance(reply, RecordDict)
    assert is_busy(reply)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"centres": "north=nosuch:lung"}, "unknown source 'nosuch'"),
        ({"arrivals": "north"}, "leaves out 'south'"),
        ({"patience": 0.0}, "patience = 0.0 cannot be used; give seconds above 0"),
        ({"poll": "soon"}, "poll = soon cannot be used; give seconds above 0"),
        ({"again": -1.0}, "again = -1.0 cannot be used; give seconds from 0 on"),
        ({"branches": -1}, "branches = -1 cannot be used; give a whole number from 0 on"),
        ({"branches": "two"}, "branches = two cannot be used"),
        ({"seed": 1.5}, "seed = 1.5 cannot be used"),
        ({"seed": -1}, "seed = -1 cannot be used"),
        ({"merge": "nosuch"}, "nosuch"),
        ({"policy": "limits.nosuch=1"}, "limits.nosuch"),
        ({"deliver": "post"}, "deliver = post cannot be used; write reply .* or grpc"),
        ({"deliver": "grpc"}, "is not a forge .* `medforge serve --forge` makes one"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_one_sentence(
    tmp_path: Path, tiny_spec: str, changes: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InvalidInput, match=said):
        run(config(tmp_path, tiny_spec, **changes), {})
    assert re.search(said, capsys.readouterr().out)
    assert not (tmp_path / "run").exists()


def test_a_node_that_does_not_know_whose_it_is_is_told_how_to_start(tmp_path: Path, tiny_spec: str) -> None:
    plan = Plan.read(config(tmp_path, tiny_spec))
    with pytest.raises(InvalidInput, match="start it with --node-config"):
        node_of({}, plan)
    with pytest.raises(InvalidInput, match='add centre="NAME"'):
        node_of({"source": "tissue:lung"}, plan)
    delivering = Plan.read(config(tmp_path, tiny_spec, deliver="grpc"))
    with pytest.raises(InvalidInput, match="does not know the forge's door; start it with --node-config 'kit="):
        node_of({"partition-id": 0}, delivering)
