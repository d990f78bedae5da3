"""What of a base module is refused before it is loaded: with the sentence that loading would end with."""

import subprocess
import sys
from pathlib import Path

import pytest

from medforge import base_check
from medforge.base import load_base
from medforge.base_check import check_base
from medforge.base_module import _DTYPES
from medforge.embedded import EMBEDDED
from medforge.errors import InvalidInput
from medforge.open_clip_tags import _table, tags_of, weights_of
from tests.core.bases.hub import OPENAI, Hub


@pytest.mark.parametrize(
    ("spec", "device", "dtype"),
    [
        ("nope", "cpu", "fp32"),
        ("ViT-B-16/nope", "cpu", "fp32"),
        ("ViT-X-99/openai", "cpu", "fp32"),
        ("ViT-B-16:/no/such.pt", "cpu", "fp32"),
        ("/no/such.json:/no/such.pt", "cpu", "fp32"),
        ("medforge-tiny", "cuda:99", "fp32"),
        ("medforge-tiny", "toaster", "fp32"),
        ("medforge-tiny", "cpu", "fp64"),
    ],
)
def test_the_sentence_is_that_of_loading(spec: str, device: str, dtype: str) -> None:
    with pytest.raises(InvalidInput) as loading:
        load_base(spec, device, dtype)
    with pytest.raises(InvalidInput) as checking:
        check_base(spec, device, dtype)
    assert str(checking.value) == str(loading.value)


def test_what_can_be_loaded_passes(tiny_spec: str, tmp_path: Path, hub: Hub) -> None:
    weights = tmp_path / "weights.pt"
    weights.touch()
    hub.put(OPENAI, "open_clip_model.safetensors").touch()
    for spec in ("medforge-tiny", tiny_spec, "ViT-B-16/openai", f"ViT-B-16:{weights}"):
        for dtype in ("fp32", "bf16"):
            check_base(spec, "auto", dtype)


def test_the_tags_are_those_that_open_clip_lists() -> None:
    """Its table is read without importing it; a version that writes it otherwise shows here."""
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    assert _table() is not None
    for architecture in {*open_clip.list_models(), *(name for name, _ in open_clip.list_pretrained()), "nothing"}:
        assert list(tags_of(architecture)) == open_clip.list_pretrained_tags_by_model(architecture)
        for tag, facts in weights_of(architecture).items():
            assert facts == get_pretrained_cfg(architecture, tag)


def test_it_knows_what_loading_knows() -> None:
    assert tuple(_DTYPES) == base_check.DTYPES
    assert EMBEDDED == base_check.EMBEDDED


def test_a_look_imports_no_torch(hub: Hub) -> None:
    hub.put(OPENAI, "open_clip_model.safetensors").touch()
    code = (
        "import sys; from medforge.base_check import check_base; check_base('medforge-tiny', 'cpu'); "
        "check_base('ViT-B-16/openai', 'cpu'); "
        "assert not {'torch', 'open_clip'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=hub.environment)
