"""`medforge page`, and what `medforge serve --page` refuses before a forge is made."""

import json
import shutil
import socket
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner

from medforge.aggregator.cli import serve
from medforge.cli import build_app
from medforge.errors import InvalidInput

RECORDED = Path(__file__).parents[2] / "recorded" / "forge-0.1.0"


def run(*words: object) -> str:
    return CliRunner().invoke(build_app(), [str(word) for word in words], catch_exceptions=False).stdout


def test_a_forge_of_an_older_version_is_shown_and_brought_up_to_date(tmp_path: Path) -> None:
    forge = shutil.copytree(RECORDED, tmp_path / "forge")
    site = tmp_path / "site"
    assert run("page", "--forge", forge, "--out", site).startswith(f"{site}/index.html shows the forge (")
    assert "tissue-lung" in (site / "index.html").read_text()
    again = json.loads(run("page", "--forge", forge, "--out", site, "--json"))
    assert again["changed"] == 0
    run("upgrade", "--forge", forge)
    run("reject", "1", "--forge", forge, "--reason", "wrong labels")
    assert json.loads(run("page", "--forge", forge, "--out", site, "--json"))["changed"] > 0
    assert "wrong labels" in (site / "branch" / "1.html").read_text()


def test_no_page_is_written_where_something_else_lies(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InvalidInput, match="is not empty and holds no pages of a forge"):
        run("page", "--forge", RECORDED, "--out", tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["mine.txt"]


def refused(tmp_path: Path, *words: object) -> str:
    with pytest.raises(InvalidInput) as found:
        run("serve", "--forge", tmp_path / "forge", "--base", "medforge-tiny", "--listen", "127.0.0.1:0", *words)
    assert not (tmp_path / "forge").exists()
    return str(found.value)


def test_pages_for_a_network_want_a_token(tmp_path: Path) -> None:
    assert "--page-token FILE" in refused(tmp_path, "--page", "0.0.0.0:0")
    assert "say where with --page HOST:PORT" in refused(tmp_path, "--page-token", tmp_path / "token")
    (tmp_path / "token").write_text("short")
    assert "holds no token" in refused(tmp_path, "--page", "127.0.0.1:0", "--page-token", tmp_path / "token")


def test_a_port_in_use_is_said_before_anything_is_made(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        at = f"127.0.0.1:{taken.getsockname()[1]}"
        assert refused(tmp_path, "--page", at).endswith(
            "is in use; stop what listens there, or choose another with --page"
        )


def test_what_is_not_installed_is_said_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "find_spec", lambda name: None if name == "uvicorn" else find_spec(name))
    found = refused(tmp_path, "--page", "127.0.0.1:0")
    assert found == "live pages need uvicorn; install them with pip install 'medforge[page]'"
