"""What a spec would run: the activation and the preprocessing are those of the tag, the file or the configuration."""

import json
import zipfile
from pathlib import Path

import pytest
import torch

from medforge.bases import activation
from medforge.bases.plan import BasePlan, plan_base
from medforge.bases.spec import parse_spec
from medforge.errors import CorruptFile, InvalidInput
from medforge.image_geometry import CLIP_MEAN as MEAN
from medforge.image_geometry import CLIP_STD as STD
from tests.core.bases.families import FAMILIES
from tests.core.bases.hub import OPENAI, Hub

CLIP = (MEAN, STD, "bicubic", "shortest")
HALF = ((0.5,) * 3, (0.5,) * 3)


def planned(spec: str) -> BasePlan:
    asked = parse_spec(spec)
    return plan_base(spec, asked)  # type: ignore[arg-type]


def seen(plan: BasePlan) -> tuple[object, ...]:
    assert plan.configuration is not None
    wanted = plan.configuration.preprocessing
    return tuple(wanted[name] for name in ("mean", "std", "interpolation", "resize_mode"))


def quick(plan: BasePlan) -> bool:
    assert plan.configuration is not None
    return plan.configuration.quick_gelu


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    file = tmp_path / "weights.pt"
    file.touch()
    return file


@pytest.mark.parametrize(
    ("spec", "activation", "preprocessing"),
    [
        ("ViT-B-16/openai", True, CLIP),
        ("ViT-B-32/openai", True, CLIP),
        ("ViT-B-16-quickgelu/openai", True, CLIP),
        ("ViT-B-16/metaclip_fullcc", True, CLIP),
        ("ViT-B-16/datacomp_xl_s13b_b90k", False, CLIP),
        ("ViT-H-14/dfn5b", True, (MEAN, STD, "bicubic", "squash")),
        ("ViT-L-14/laion2b_s32b_b82k", False, (*HALF, "bicubic", "shortest")),
        ("ViT-B-16-SigLIP/webli", False, (*HALF, "bicubic", "squash")),
        ("ViT-L-14-CLIPA/datacomp1b", False, ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bilinear", "squash")),
        ("MobileCLIP-S1/datacompdr", False, ((0.0,) * 3, (1.0,) * 3, "bilinear", "shortest")),
        # open_clip's tag is silent, and its architecture is not
        ("roberta-ViT-B-32/laion2b_s12b_b32k", True, CLIP),
    ],
)
def test_a_tag_decides(spec: str, activation: bool, preprocessing: tuple[object, ...], hub: Hub) -> None:
    plan = planned(spec)
    assert quick(plan) is activation
    assert seen(plan) == preprocessing
    assert plan.missing


def test_a_tag_is_here_when_its_file_is_in_the_cache(hub: Hub) -> None:
    kept = hub.put(OPENAI, "open_clip_pytorch_model.bin")
    kept.touch()
    plan = planned("ViT-B-16/openai")
    assert (plan.weights, plan.missing) == (kept, ())
    safe = hub.put(OPENAI, "open_clip_model.safetensors")
    safe.touch()
    assert planned("ViT-B-16/openai").weights == safe


@pytest.mark.parametrize(
    ("architecture", "preprocessing"),
    [
        ("ViT-B-16", CLIP),
        ("MobileCLIP-S1", ((0.0,) * 3, (1.0,) * 3, "bilinear", "shortest")),
        ("ViT-H-14-378", (MEAN, STD, "bicubic", "squash")),
        ("ViT-B-16-SigLIP", (*HALF, "bicubic", "squash")),
    ],
)
def test_a_local_file_is_prepared_for_as_its_architecture_s_weights_are(
    architecture: str, preprocessing: tuple[object, ...], weights: Path, hub: Hub
) -> None:
    assert seen(planned(f"{architecture}:{weights}")) == preprocessing


def test_what_a_file_of_weights_does_not_say_is_said(weights: Path) -> None:
    plan = planned(f"ViT-B-16:{weights}")
    assert not quick(plan)
    (note,) = plan.notes
    assert f"write ViT-B-16-quickgelu:{weights}" in note
    assert "openai" in note
    assert quick(planned(f"ViT-B-16-quickgelu:{weights}"))
    assert planned(f"ViT-B-16-quickgelu:{weights}").notes == ()
    assert "prepared in several ways" in planned(f"ViT-L-14:{weights}").notes[1]


def _archive(file: Path, code: str) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
        archive.writestr("archive/code/__torch__/model.py", code)
    return file


@pytest.mark.parametrize("code", ["class QuickGELU(Module):", "torch.sigmoid(torch.mul(x, 1.7020000000000000))"])
def test_an_archive_of_torchscript_says_what_it_computes(tmp_path: Path, code: str) -> None:
    file = _archive(tmp_path / "clip.pt", code)
    assert quick(planned(f"ViT-B-16:{file}"))
    assert quick(planned(f"ViT-B-16-quickgelu:{file}"))
    other = _archive(tmp_path / "other.pt", "return torch.gelu(x)")
    assert not quick(planned(f"ViT-B-16:{other}"))
    with pytest.raises(InvalidInput, match=f"computes QuickGELU; write ViT-B-16:{other}"):
        planned(f"ViT-B-16-quickgelu:{other}")


def test_openai_s_weights_are_known_by_their_fields(tmp_path: Path) -> None:
    """As `torch.jit.load(...).state_dict()` gives them, saved again."""
    fields = {"input_resolution": torch.tensor(224), "context_length": torch.tensor(77), "vocab_size": torch.tensor(9)}
    torch.save({"visual.proj": torch.ones(2), **fields}, tmp_path / "with.pt")
    torch.save({"visual.proj": torch.ones(2)}, tmp_path / "without.pt")
    assert quick(planned(f"ViT-B-16:{tmp_path / 'with.pt'}"))
    assert not quick(planned(f"ViT-B-16:{tmp_path / 'without.pt'}"))


def test_a_published_digest_decides_or_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The digests are those in open_clip's own table; the files are hundreds of megabytes, so the digest is given."""
    file = _archive(tmp_path / "renamed.pt", "return torch.gelu(x)")
    digest = "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f"
    monkeypatch.setattr(activation, "sha256_file", lambda _: digest)
    plan = planned(f"ViT-B-16:{file}")
    assert quick(plan)
    assert plan.activation == "its digest is that of ViT-B-16/openai"
    with pytest.raises(InvalidInput, match=f"published as ViT-B-16/openai; write ViT-B-16:{file}"):
        planned(f"ViT-B-32:{file}")


def _directory(place: Path, document: object) -> Path:
    place.mkdir(exist_ok=True)
    (place / "open_clip_config.json").write_text(json.dumps(document))
    (place / "open_clip_model.safetensors").touch()
    return place


def test_a_configuration_file_decides_all(tmp_path: Path) -> None:
    prepared = {"mean": 0, "std": [1, 1, 1], "interpolation": "random", "resize_mode": "longest", "fill_color": 9}
    document = {"model_cfg": FAMILIES["openai"], "preprocess_cfg": prepared}
    place = _directory(tmp_path / "snapshot", document)
    (tmp_path / "model.json").write_text(json.dumps(document))
    file = place / "open_clip_model.safetensors"
    for spec in (f"hf-local:{place}", f"local-dir:{place}", f"{tmp_path / 'model.json'}:{file}"):
        plan = planned(spec)
        assert plan.configuration is not None
        assert plan.weights == file
        assert quick(plan)
        assert seen(plan) == ((0.0,) * 3, (1.0,) * 3, "bicubic", "longest")
        assert plan.configuration.geometry == {"interpolation": "bicubic", "resize_mode": "longest", "fill": 9}


def test_the_configuration_beside_a_file_is_that_of_the_file(tmp_path: Path) -> None:
    from medforge.open_clip_tags import config_of

    document = {"model_cfg": config_of("ViT-B-16-quickgelu"), "preprocess_cfg": {"resize_mode": "squash"}}
    file = _directory(tmp_path / "snapshot", document) / "open_clip_model.safetensors"
    plan = planned(f"ViT-B-16:{file}")
    assert quick(plan)
    assert seen(plan) == (MEAN, STD, "bicubic", "squash")
    # of another architecture it says nothing
    assert seen(planned(f"ViT-B-32:{file}")) == CLIP


@pytest.mark.parametrize(
    ("prepared", "said"),
    [
        ({"interpolation": "nearest"}, "prepared by interpolation 'nearest'; only bicubic, bilinear can be done"),
        ({"resize_mode": "stretch"}, "resize_mode 'stretch'; only shortest, longest, squash"),
        ({"std": [0.2, 0.2, 0]}, "prepared by std"),
        ({"mean": [0.5, 0.5]}, "prepared by mean .* three numbers"),
        ({"mode": "L"}, "mode 'L'; only RGB"),
        ({"fill_color": 300}, "fill_color 300; only 0 to 255"),
    ],
)
def test_preprocessing_that_is_not_known_is_refused(tmp_path: Path, prepared: object, said: str) -> None:
    place = _directory(tmp_path / "snapshot", {"model_cfg": FAMILIES["clip"], "preprocess_cfg": prepared})
    with pytest.raises(InvalidInput, match=said):
        planned(f"hf-local:{place}")


def test_a_directory_without_what_it_needs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="holds no open_clip_config"):
        planned(f"hf-local:{tmp_path}")
    with pytest.raises(InvalidInput, match="does not exist; check the path"):
        planned(f"hf-local:{tmp_path / 'nowhere'}")
    place = _directory(tmp_path / "snapshot", {"model_cfg": FAMILIES["clip"]})
    with pytest.raises(InvalidInput, match=f"is a directory; write hf-local:{place}"):
        planned(str(place))
    (place / "open_clip_model.safetensors").unlink()
    with pytest.raises(InvalidInput, match="holds no weights; put"):
        planned(f"hf-local:{place}")
    for name in ("a.bin", "b.bin"):
        (place / name).touch()
    with pytest.raises(InvalidInput, match=r"several files of weights, a\.bin, b\.bin; name the one"):
        planned(f"hf-local:{place}")
    _directory(place, {"vision_cfg": {}})
    with pytest.raises(CorruptFile, match="configures no model"):
        planned(f"hf-local:{place}")
    text = {**FAMILIES["clip"]["text_cfg"], "hf_tokenizer_name": "org/tokens"}
    _directory(place, {"model_cfg": {**FAMILIES["clip"], "text_cfg": text}})
    with pytest.raises(InvalidInput, match="lacks its tokenizer; copy that of org/tokens into it"):
        planned(f"hf-local:{place}")
