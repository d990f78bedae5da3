"""Attacks that were tried on the project and held, of which no other test tells: they hold still."""

import getpass
import json
import socket
from pathlib import Path

import pytest

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.merge import choose_settings
from medforge.base_module import BaseModule
from medforge.cli import build_app
from medforge.declared_task import DeclaredTask
from medforge.errors import InvalidBranch, InvalidInput
from medforge.files import canonical_json, parse_json
from medforge.manifest import DISTILLED_FILE, Manifest
from medforge.proto.signed_review import Review
from tests.making import make_branch

NAMES = ("../x", "..", "/etc/passwd", "a/b", "a\\b", ".hidden", "", "a\n", "a\0b", "a\x1b[2Jb", "a\u202eb", "x" * 101)
MARKUP = "[bold red]x[/bold red] <script>alert(1)</script> [/]"


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_no_name_of_a_branch_leaves_its_place_or_moves_a_cursor(tiny_base: BaseModule, name: str) -> None:
    document = json.loads(make_branch(tiny_base).manifest.to_bytes())
    for field in ("contributor", "task"):
        with pytest.raises(InvalidBranch, match=f"manifest's {field} is wrong") as caught:
            Manifest.parse(canonical_json({**document, field: name}))
        assert str(caught.value).isprintable()
    files = dict(document["files"])
    files[name] = files.pop(DISTILLED_FILE)
    with pytest.raises(InvalidBranch, match="must list") as caught:
        Manifest.parse(canonical_json({**document, "files": files}))
    assert str(caught.value).isprintable()
    with pytest.raises(InvalidInput, match="cannot be declared"):
        DeclaredTask.make(name, [("a", "one"), ("b", "two")])
    words = {"format": 1, "forge": "f", "commit": "0" * 64, "tasks": {}, "threshold": 1, "software": ""}
    with pytest.raises(InvalidInput, match="what came is no review"):
        Review.parse(canonical_json({**words, "epsilon": None, "reviewer": name}))


def test_a_name_that_comes_twice_is_no_json(tiny_base: BaseModule) -> None:
    twice = b'{"a":1,"a":2}'
    with pytest.raises(ValueError, match="a name comes twice in one object"):
        parse_json(twice)
    data = make_branch(tiny_base).manifest.to_bytes()
    with pytest.raises(InvalidBranch, match="a name comes twice in one object"):
        Manifest.parse(data[:-1] + b',"ipc":2}')
    inside = data.replace(b'"plugin":{', b'"plugin":{"rank":2,')
    assert inside != data
    with pytest.raises(InvalidBranch, match="a name comes twice in one object"):
        Manifest.parse(inside)


def test_markup_of_a_terminal_is_text(
    tiny_base: BaseModule, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Forge.establish(tmp_path / "forge", tiny_base, choose_settings()).close()
    classes = tmp_path / "classes.csv"
    classes.write_text(f'key,prompt\na,"{MARKUP}"\nb,something else\n', encoding="utf-8")
    at = ["--forge", str(tmp_path / "forge")]
    build_app()(["task", "add", "lung", "--classes", str(classes), "--modality", "CT", *at], standalone_mode=False)
    capsys.readouterr()
    build_app()(["task", "list", *at, "--json"], standalone_mode=False)
    assert MARKUP in json.loads(capsys.readouterr().out)["tasks"][0]["classes"][0]["prompt"]
    build_app()(["task", "show", "lung", *at], standalone_mode=False)
    shown = capsys.readouterr().out
    assert "\x1b[" not in shown
    assert MARKUP in " ".join(shown.split())


def test_a_branch_holds_no_path_and_no_host(tiny_base: BaseModule) -> None:
    branch = make_branch(tiny_base)
    kept = [branch.manifest.to_bytes(), *branch.blobs().values()]
    hosts = {name for name in (socket.gethostname(), socket.getfqdn()) if len(name) > 3}
    secrets = {*hosts, str(Path.cwd()), f"{Path.home()}/", f"{getpass.getuser()}@", tiny_base.spec.partition(":")[2]}
    assert [secret for secret in secrets for data in kept if secret.encode() in data] == []
