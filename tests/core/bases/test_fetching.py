"""A base module is fetched once, with all it needs, into a directory that names the same one by its fingerprint."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants

from medforge.base import load_base
from medforge.bases.fetching import fetch_base
from medforge.bases.showing import show_base
from medforge.errors import InvalidInput
from tests.core.bases.biomed import NAME, bert, write_snapshot
from tests.core.bases.families import FAMILIES, make
from tests.core.bases.hub import Hub


@pytest.fixture
def served(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A server that answers as the hub does, of the files below a directory: organisation/model/file."""
    root = tmp_path / "served"
    root.mkdir()

    class Answer(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(b"")

        def do_GET(self) -> None:
            self._answer(None)

        def _answer(self, body: bytes | None) -> None:
            owner, _, rest = self.path.lstrip("/").partition("/resolve/main/")
            file = root / owner / rest
            if not rest or not file.is_file():
                return self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
            data = file.read_bytes()
            found = {"ETag": f'"{len(data)}"', "X-Repo-Commit": "1" * 40}
            return self._send(200, data if body is None else body, found, len(data))

        def _send(self, code: int, data: bytes, headers: dict[str, str], size: int | None = None) -> None:
            self.send_response(code)
            for name, value in (headers | {"Content-Length": str(len(data) if size is None else size)}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setenv("HF_ENDPOINT", address)
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"
        )
        yield root
        server.shutdown()


def test_a_model_of_the_hub_is_fetched_with_tokenizer_and_text_tower(served: Path, tmp_path: Path) -> None:
    place = served / "organisation" / "model"
    place.parent.mkdir()
    write_snapshot(place)
    text = served / NAME
    text.mkdir(parents=True)
    for name in ("vocab.txt", "tokenizer_config.json"):
        (place / name).rename(text / name)
    bert().save_pretrained(text)
    spec = "hf-hub:organisation/model"
    assert show_base(spec)["here"] is False
    out = tmp_path / "out"
    fetch_base(spec, out)
    assert {path.name for path in out.iterdir()} == {
        *("open_clip_config.json", "open_clip_model.safetensors", "config.json", "vocab.txt", "tokenizer_config.json")
    }
    assert show_base(spec)["here"] is True
    # by the cache, and by the directory alone
    first = load_base(spec, "cpu")
    assert load_base(f"hf-local:{out}", "cpu").fingerprint == first.fingerprint


def test_a_tag_is_fetched_as_what_it_names(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the cache here: activation and preprocessing are kept in the directory's own configuration."""
    model, _ = make("openai", FAMILIES["openai"], tmp_path)
    torch.save(model.state_dict(), hub.put("organisation/model", "open_clip_pytorch_model.bin"))
    document = {
        "model_cfg": FAMILIES["openai"],
        "preprocess_cfg": {"resize_mode": "squash", "interpolation": "bilinear"},
    }
    hub.put("organisation/model", "open_clip_config.json").write_text(json.dumps(document))
    out = tmp_path / "out"
    fetch_base("hf-hub:organisation/model", out)
    written = json.loads((out / "open_clip_config.json").read_text())
    assert written["model_cfg"]["quick_gelu"] is True
    base = load_base(f"hf-local:{out}", "cpu")
    assert (base.preprocessing.resize_mode, base.preprocessing.interpolation) == ("squash", "bilinear")
    assert base.fingerprint == load_base("hf-hub:organisation/model", "cpu").fingerprint


def test_what_the_hub_does_not_have_is_said(served: Path, tmp_path: Path) -> None:
    (served / "organisation" / "model").mkdir(parents=True)
    with pytest.raises(InvalidInput, match=r"organisation/model has no open_clip_config\.json; check the name"):
        fetch_base("hf-hub:organisation/model", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_embedded_base_needs_no_fetching(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="inside MedForge; give it as it is"):
        fetch_base("medforge-tiny", tmp_path / "out")
