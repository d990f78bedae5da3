"""Every format holds the network that MedForge has: as its own library loads it, with MedForge and without."""

import shutil
from importlib import import_module
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from medforge.base import load_base
from medforge.base_module import BaseModule
from medforge.client.data.pixels.decode import read_image
from medforge.errors import InvalidInput
from medforge.forge_item import FusedPlugin, Member, Mixture, WeightChange
from medforge.model.export.exporting import export
from medforge.model.export.formats import FORMATS
from medforge.model.network import Network, choose_network
from medforge.plugin import PluginKind
from tests.core.cli.commands import APP
from tests.making import make_plugin, make_ragged
from tests.model.networks import LUNG, checkout, routed
from tests.model.outside import run_without

NETWORKS = [name for name in FORMATS if name != "onnx"]


@pytest.fixture(scope="module")
def lung(tiny_base: BaseModule) -> Network:
    """The expert of one of three tasks, a LoRA."""
    return choose_network(routed(tiny_base, ("lora", "lora")), tiny_base, task="lung")


def answers(network: Network, image: Path) -> torch.Tensor:
    base = network.base
    pixels = torch.from_numpy(read_image(image, base.image_size)).unsqueeze(0)
    logits = base.logits(base.embed_all(base.normalise(pixels), network.change), LUNG)
    return logits.softmax(dim=1)


@pytest.fixture(scope="module")
def exported(tiny_spec: str, lung: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directories by format; in each an image, and where the README names the base by its files, those."""
    place = tmp_path_factory.mktemp("exported")
    values = torch.randint(0, 256, (32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for name in NETWORKS:
        export(lung, name, place / name)
        Image.fromarray(values.numpy()).save(place / name / "image.png")
    config, checkpoint = map(Path, tiny_spec.split(":"))
    for name in ("peft", "safetensors"):
        shutil.copy(config, place / name)
        shutil.copy(checkpoint, place / name)
    # the README of an adapter for transformers names the base, which is there as a CLIPModel of that name
    bare = Network(lung.base, {}, None, ())
    export(bare, "hf", place / "peft-hf" / lung.base.facts.spec)
    return place


@pytest.mark.parametrize(
    ("formats", "absent"),
    [
        (("open_clip", "safetensors"), ("medforge", "peft", "transformers", "onnxruntime")),
        (("peft",), ("medforge", "onnxruntime")),
        (("hf", "peft-hf"), ("medforge", "open_clip", "onnxruntime")),
    ],
)
def test_the_lines_of_the_readme_answer_alike_without_medforge(
    exported: Path, lung: Network, formats: tuple[str, ...], absent: tuple[str, ...]
) -> None:
    printed = run_without(absent, [exported / name for name in formats])
    image = exported / formats[0] / "image.png"
    due = answers(lung, image)
    assert float((due - answers(Network(lung.base, {}, None, ()), image)).abs().max()) > 0.01
    for name, found in zip(formats, printed, strict=True):
        assert torch.allclose(torch.tensor(found), due, atol=1e-5), name


@pytest.mark.parametrize("kind", ["lora", "dora", "svd-lora", "ragged", "dense"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_kind_of_network_is_loaded_with_equal_logits(
    tiny_base: BaseModule, tmp_path: Path, name: str, kind: str
) -> None:
    kinds: dict[str, PluginKind] = {"lora": "lora", "dora": "dora", "svd-lora": "svd-lora"}
    plugin = make_ragged(tiny_base) if kind == "ragged" else make_plugin(tiny_base, 3, kind=kinds.get(kind, "lora"))
    item = WeightChange.of(tiny_base, plugin.deltas(tiny_base)) if kind == "dense" else FusedPlugin(plugin)
    network = choose_network(item, tiny_base)
    # raises where its own library answers otherwise; here it is asked again about other images, and more closely
    export(network, name, tmp_path / "out")
    module = import_module(f"medforge.model.export.{FORMATS[name].module}")
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(5))
    found = module.logits(network, tmp_path / "out", images, tiny_base.tokenizer(list(LUNG)))
    due = tiny_base.logits(tiny_base.embed_all(images, network.change), LUNG)
    assert torch.allclose(found, due, atol=1e-5)
    unchanged = tiny_base.logits(tiny_base.embed_all(images), LUNG)
    assert float((due - unchanged).abs().max()) > 0.1


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(APP, ["export", *arguments])
    return done.exit_code, " ".join(f"{done.output} {done.exception or ''}".split())


@pytest.fixture(scope="module")
def merged(tiny_base: BaseModule, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkout(tmp_path_factory.mktemp("merged") / "model", tiny_base, routed(tiny_base))


def test_the_command_exports_one_tasks_expert(tiny_spec: str, tiny_base: BaseModule, merged: Path) -> None:
    out = merged.parent / "colon"
    code, said = run(str(merged), "--base", tiny_spec, "--to", "open_clip", "--task", "colon", "--out", str(out))
    assert (code, said) == (0, f"colon is in {out}; its README.md says how to use it")
    readme = (out / "README.md").read_text(encoding="utf-8")
    assert "| colon-polyp | colon polyp |" in readme
    assert "the router" in readme
    assert "share in P(class) is 0.25" in readme
    assert list(out.parent.glob(".colon*")) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--to", "gguf"), "there is no format 'gguf'; choose one of open_clip"),
        (("--to", "open_clip"), "an expert for each of its tasks, brain, colon, lung; say which one with --task"),
        (("--to", "hf", "--task", "knee"), "the model has no task 'knee'; it has brain, colon, lung"),
    ],
)
def test_a_wrong_wish_is_one_sentence_and_writes_nothing(
    tiny_spec: str, merged: Path, tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    code, said = run(str(merged), "--base", tiny_spec, "--out", str(tmp_path / "out"), *arguments)
    assert code != 0
    assert sentence in said
    assert list(tmp_path.iterdir()) == []


def test_a_directory_with_something_in_it_stays_as_it_is(merged: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    code, said = run(str(merged), "--to", "hf", "--out", str(tmp_path))
    assert code != 0
    assert "is not an empty directory; give a new one with --out" in said
    assert [one.name for one in tmp_path.iterdir()] == ["mine"]


def test_an_architecture_that_transformers_does_not_have_is_refused_by_name(tmp_path: Path) -> None:
    base = load_base("medforge-tiny", device="cpu")
    network = choose_network(FusedPlugin(make_plugin(base, size=0.05)), base)
    for name in ("hf", "peft-hf"):
        with pytest.raises(InvalidInput, match=r"which has vision_cfg.no_ln_pre True; export to open_clip instead"):
            export(network, name, tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    # what open_clip itself can tell, it does
    for name in ("open_clip", "peft", "safetensors"):
        export(network, name, tmp_path / name)


def test_several_networks_that_are_no_experts_are_refused(tiny_base: BaseModule) -> None:
    members = tuple(Member(f"{one:064x}", make_plugin(tiny_base, one), 0.5) for one in range(2))
    with pytest.raises(InvalidInput, match="only a layer-level mixture without a gate folds"):
        choose_network(Mixture(members, "output"), tiny_base)
    layered = choose_network(Mixture(members, "layer"), tiny_base)
    assert set(layered.change) == set(tiny_base.sites)


def test_what_answers_otherwise_is_not_written(
    tiny_base: BaseModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library's own answer decides, not what was meant to be written."""
    from medforge.model.export import open_clip as written

    network = choose_network(FusedPlugin(make_plugin(tiny_base)), tiny_base)
    whole = written.own_state
    monkeypatch.setattr(written, "own_state", lambda base, merged: whole(base))
    with pytest.raises(InvalidInput, match="cannot be exported to open_clip: what was written gives logits"):
        export(network, "open_clip", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
