"""A directory that was copied from the hub is all that a site without internet needs, BiomedCLIP's too."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from open_clip.tokenizer import HFTokenizer

from medforge.base import load_base
from medforge.errors import CorruptFile, InvalidInput
from tests.core.bases.biomed import write_snapshot
from tests.core.bases.hub import Hub

PROMPTS = ["a benign tissue", "Malignant Tissue of a mouse 12"]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, hub: Hub) -> None:
    def refuse(*asked: object, **_: object) -> Any:
        raise AssertionError(f"asked for {asked}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.parametrize("with_config", [False, True])
def test_it_embeds_as_open_clip_does_without_a_network(tmp_path: Path, with_config: bool) -> None:
    place = tmp_path / "snapshot"
    model = write_snapshot(place, with_config)
    base = load_base(f"hf-local:{place}", "cpu")
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    tokens = HFTokenizer(str(place), context_length=24)(PROMPTS)
    assert torch.equal(base.tokenizer(PROMPTS), tokens)
    assert len(set(tokens[1].tolist())) > 8
    with torch.no_grad():
        assert torch.allclose(base.embed(images), model.encode_image(images), atol=1e-5)
        assert torch.allclose(base.prompt_features(PROMPTS), model.encode_text(tokens, normalize=True), atol=1e-5)
    assert base.facts.spec == "hf-local:snapshot"


def test_the_fingerprint_is_of_tokenizer_and_text_tower_too(tmp_path: Path) -> None:
    place = tmp_path / "snapshot"
    write_snapshot(place, with_config=True)
    spec = f"hf-local:{place}"
    first = load_base(spec, "cpu").fingerprint
    assert load_base(f"local-dir:{place}", "cpu").fingerprint == first
    config = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps(config | {"hidden_act": "relu"}))
    assert load_base(spec, "cpu").fingerprint != first
    (place / "config.json").write_text(json.dumps(config))
    words = (place / "vocab.txt").read_text().split("\n")
    words[6], words[7] = words[7], words[6]
    (place / "vocab.txt").write_text("\n".join(words))
    assert load_base(spec, "cpu").fingerprint != first


def test_code_of_a_directory_is_not_run(tmp_path: Path) -> None:
    place = tmp_path / "snapshot"
    write_snapshot(place, with_config=True)
    config = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoConfig": "own.Config"}}))
    (place / "own.py").write_text("raise SystemExit('run')")
    load_base(f"hf-local:{place}", "cpu")
    (place / "tokenizer_config.json").write_text(json.dumps({"auto_map": {"AutoTokenizer": ["own.Tokens", None]}}))
    with pytest.raises(InvalidInput, match="tokenizer is code of its own, which is not run; choose"):
        load_base(f"hf-local:{place}", "cpu")


def test_what_is_broken_in_a_directory_is_named(tmp_path: Path) -> None:
    place = tmp_path / "snapshot"
    write_snapshot(place)
    (place / "tokenizer_config.json").write_text("{")
    with pytest.raises(CorruptFile, match=r"tokenizer_config\.json is no JSON; fetch it again"):
        load_base(f"hf-local:{place}", "cpu")
    (place / "tokenizer_config.json").unlink()
    # the vocabulary alone says enough
    load_base(f"hf-local:{place}", "cpu")
    document = json.loads((place / "open_clip_config.json").read_text())
    document["model_cfg"]["vision_cfg"]["odd"] = 1
    (place / "open_clip_config.json").write_text(json.dumps(document))
    with pytest.raises(InvalidInput, match="does not know its configuration .*'odd'.*; check it, or install a newer"):
        load_base(f"hf-local:{place}", "cpu")


def test_an_image_size_that_the_tower_does_not_take_is_refused(tmp_path: Path) -> None:
    write_snapshot(tmp_path / "snapshot", image_size=32)
    with pytest.raises(InvalidInput, match="does not take the 32×32 images .*; correct its image_size"):
        load_base(f"hf-local:{tmp_path / 'snapshot'}", "cpu")
