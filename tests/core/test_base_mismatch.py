"""A branch of another base module is refused in a sentence that names what differs; a manifest says how images came."""

import json
from pathlib import Path

import pytest
import torch

from medforge.base import load_base
from medforge.base_mismatch import check_same_base
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.errors import BaseMismatch, InvalidBranch
from medforge.manifest import Manifest
from tests.conftest import TINY_CONFIG
from tests.making import make_branch


def other(tiny_spec: str, directory: Path, name: str = "other", **said: object) -> BaseModule:
    """The very small CLIP's weights under another configuration."""
    prepared = said.pop("preprocess_cfg", {})
    file = directory / f"{name}.json"
    file.write_text(json.dumps({"model_cfg": TINY_CONFIG | said, "preprocess_cfg": prepared}))
    return load_base(f"{file}:{tiny_spec.partition(':')[2]}", "cpu")


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"quick_gelu": True}, "it computed QuickGELU where GELU is due"),
        (
            {"preprocess_cfg": {"resize_mode": "squash"}},
            "its images were prepared by resize_mode squash where shortest",
        ),
        (
            {"preprocess_cfg": {"interpolation": "bilinear", "mean": 0}},
            "prepared by interpolation bilinear where bicubic is due, its .* prepared by mean 0 0 0 where 0.48",
        ),
    ],
)
def test_what_differs_is_named(
    tiny_spec: str, tiny_base: BaseModule, tmp_path: Path, said: dict[str, object], sentence: str
) -> None:
    base = other(tiny_spec, tmp_path, **said)
    assert base.fingerprint != tiny_base.fingerprint
    branch = make_branch(base)
    with pytest.raises(BaseMismatch, match=f"{sentence}.*; train it on the forge's base"):
        branch.check(tiny_base)
    # and the other way round, where the manifest says nothing
    with pytest.raises(BaseMismatch, match=r"where QuickGELU is due|where squash is due|where bilinear is due"):
        make_branch(tiny_base).check(base)


def test_other_weights_are_told_apart_from_another_function(
    tiny_base: BaseModule, tiny_spec: str, tmp_path: Path
) -> None:
    config, _, checkpoint = tiny_spec.partition(":")
    state = torch.load(checkpoint)
    state["visual.proj"] = state["visual.proj"] + 1
    torch.save(state, tmp_path / "other.pt")
    branch = make_branch(load_base(f"{config}:{tmp_path / 'other.pt'}", "cpu"))
    with pytest.raises(BaseMismatch, match="its weights, architecture or tokenizer are others; train it"):
        branch.check(tiny_base)


def test_the_preprocessing_travels_where_it_is_not_clip_s(
    tiny_spec: str, tiny_base: BaseModule, tmp_path: Path
) -> None:
    prepared = {"mean": [0.5] * 3, "std": [0.5] * 3, "resize_mode": "longest", "fill_color": 7}
    base = other(tiny_spec, tmp_path, quick_gelu=True, preprocess_cfg=prepared)
    make_branch(base).save(tmp_path / "branch")
    found = Branch.load(tmp_path / "branch")
    assert found.manifest.preprocessing == base.preprocessing
    assert found.manifest.activation == "quick_gelu"
    assert json.loads(found.manifest.to_bytes())["preprocessing"]["fill"] == 7
    found.check(base)
    usual = json.loads(make_branch(tiny_base).manifest.to_bytes())
    assert not {"preprocessing", "activation"} & usual.keys()
    assert (
        not {"preprocessing", "activation"}
        & json.loads(make_branch(load_base("medforge-tiny", "cpu")).manifest.to_bytes()).keys()
    )


def test_a_manifest_cannot_say_of_a_base_what_it_is_not(tiny_base: BaseModule) -> None:
    branch = make_branch(tiny_base)
    manifest = Manifest.model_validate({**dict(branch.manifest), "activation": "quick_gelu"})
    with pytest.raises(InvalidBranch, match="says of its base module what that is not"):
        Branch(manifest, branch.plugin, branch.distilled).check(tiny_base)


def test_a_fill_counts_only_where_it_fills(tiny_spec: str, tiny_base: BaseModule, tmp_path: Path) -> None:
    """What changes no embedding changes no fingerprint."""
    assert other(tiny_spec, tmp_path, preprocess_cfg={"fill_color": 9}).fingerprint == tiny_base.fingerprint
    longest = [
        other(tiny_spec, tmp_path, f"fill-{fill}", preprocess_cfg={"resize_mode": "longest", "fill_color": fill})
        for fill in (0, 9)
    ]
    assert longest[0].fingerprint != longest[1].fingerprint


def test_a_workspace_says_that_its_base_is_another_now(tiny_spec: str, tiny_base: BaseModule, tmp_path: Path) -> None:
    other_base = other(tiny_spec, tmp_path, quick_gelu=True)
    check_same_base(tiny_base.facts, tiny_base.facts)
    with pytest.raises(BaseMismatch, match="is .* here: it computed GELU where QuickGELU is due; bring the"):
        check_same_base(tiny_base.facts, other_base.facts)
