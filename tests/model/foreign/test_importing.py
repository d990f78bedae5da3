"""Adapters that PEFT itself made come in with the weight change that PEFT gives them."""

import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from click.testing import CliRunner
from peft import AdaLoraConfig, LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn

from medforge.api import merge
from medforge.base import load_base
from medforge.base_module import BaseModule
from medforge.errors import BaseMismatch, CorruptFile, InvalidBranch, InvalidInput
from medforge.forge_item import FusedPlugin
from medforge.model.export import hugging_face as hugging_face_format
from medforge.model.export import peft_hf
from medforge.model.export.exporting import export
from medforge.model.export.own_model import own_model
from medforge.model.export.peft_hf import hugging_face_model
from medforge.model.foreign.importing import import_adapter
from medforge.model.network import Network, choose_network
from medforge.peft_fields import first_oddity
from medforge.plugin import Plugin
from tests.core.cli.commands import APP
from tests.making import make_plugin

ATTENTION, ALL = ["q_proj", "v_proj"], ["q_proj", "v_proj", "visual_projection"]
VISION = r"(vision_model\..*\.(q_proj|v_proj)|visual_projection)"
Make = Callable[[BaseModule], Any]


def hugging_face(base: BaseModule) -> nn.Module:
    return hugging_face_model(Network(base, {}, None, ()))


def draw(model: nn.Module) -> None:
    """Give every trained weight a value of its own, as training would; B is zero before."""
    random = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_" in name and parameter.requires_grad:
            noise = 0.3 * torch.randn(parameter.shape, generator=random)
            parameter.data = parameter.data * (1 + noise) if "magnitude" in name else noise


def pruned(model: PeftModel) -> None:
    """Leave some layers ranks 3, 1 and 0, as AdaLoRA's own allocation does."""
    names = [name for name, _ in model.named_parameters() if "lora_E" in name]
    kept = {}
    for place, name in enumerate(names):
        pattern = [index < (3, 1, 0, 4)[place % 4] for index in range(4)]
        kept[name.removeprefix("base_model.model.")] = pattern
    config = model.peft_config["default"]
    assert isinstance(config, AdaLoraConfig)
    config.rank_pattern = kept


CONFIGS: dict[str, dict[str, Any]] = {
    "lora": {"target_modules": VISION},
    "rslora": {"target_modules": VISION, "use_rslora": True, "lora_alpha": 3},
    "dora": {"target_modules": VISION, "use_dora": True},
    "patterns": {
        "target_modules": VISION,
        "rank_pattern": {"visual_projection": 2, "layers.0.self_attn.q_proj": 6},
        "alpha_pattern": {"v_proj": 7, r".*\.0\.self_attn\.q_proj": 5},
    },
    "rslora-patterns": {"target_modules": VISION, "use_rslora": True, "rank_pattern": {"v_proj": 2}},
    "dora-patterns": {"target_modules": VISION, "use_dora": True, "rank_pattern": {"v_proj": 2}},
    "some-layers": {"target_modules": r"vision_model\..*\.1\..*(q_proj|v_proj)"},
    "some-layers-dora": {"target_modules": r"vision_model\..*\.1\..*(q_proj)", "use_dora": True},
    "gaussian": {"target_modules": VISION, "init_lora_weights": "gaussian", "lora_dropout": 0.1},
}


def saved(directory: Path, model: nn.Module, config: LoraConfig, prune: bool = False) -> PeftModel:
    adapted = get_peft_model(model, config)
    assert isinstance(adapted, PeftModel)
    draw(adapted)
    if prune:
        pruned(adapted)
    adapted.save_pretrained(str(directory))
    return adapted.eval()


def agree(directory: Path, base: BaseModule, bare: nn.Module) -> Plugin:
    """The plugin's image embeddings, and every weight change, are those of PEFT's own model."""
    plugin = import_adapter(directory, base).plugin
    theirs = PeftModel.from_pretrained(bare, str(directory)).eval()
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        if hasattr(theirs, "encode_image"):
            due = theirs.encode_image(images)
        else:
            due = theirs.get_image_features(images)
            due = getattr(due, "pooler_output", due)
    found = base.embed_all(images, plugin.deltas(base))
    assert torch.allclose(found, due, atol=1e-5)
    assert float((due - base.embed_all(images)).abs().max()) > 1e-2
    return plugin


@pytest.mark.parametrize("name", CONFIGS)
def test_an_adapter_of_transformers_clip_keeps_its_change(tiny_base: BaseModule, tmp_path: Path, name: str) -> None:
    saved(tmp_path, hugging_face(tiny_base), LoraConfig(**({"r": 4, "lora_alpha": 6} | CONFIGS[name])))
    plugin = agree(tmp_path, tiny_base, hugging_face(tiny_base))
    assert plugin.settings.kind == ("dora" if "dora" in name else "lora")
    # what was written is a plugin as MedForge itself writes them
    plugin.save(tmp_path / "plugin")
    assert Plugin.load(tmp_path / "plugin").digest == plugin.digest


def test_a_plain_lora_keeps_its_very_numbers(tiny_base: BaseModule, tmp_path: Path) -> None:
    saved(tmp_path, hugging_face(tiny_base), LoraConfig(r=4, lora_alpha=6, target_modules=VISION))
    plugin = import_adapter(tmp_path, tiny_base).plugin
    theirs = load_file(tmp_path / "adapter_model.safetensors")
    layer = "base_model.model.vision_model.encoder.layers.1.self_attn.v_proj"
    ours = plugin.factors["trunk.transformer.resblocks.1.attn.v_proj"]
    assert (plugin.settings.rank, plugin.settings.alpha) == (4, 6)
    assert torch.equal(ours.down, theirs[f"{layer}.lora_A.weight"])
    assert torch.equal(ours.up, theirs[f"{layer}.lora_B.weight"])


@pytest.mark.parametrize("prune", [False, True])
def test_an_adalora_keeps_its_change_and_its_allocated_ranks(
    tiny_base: BaseModule, tmp_path: Path, prune: bool
) -> None:
    config = AdaLoraConfig(init_r=4, target_r=2, lora_alpha=6, total_step=10, target_modules=VISION)
    saved(tmp_path, hugging_face(tiny_base), config, prune)
    plugin = agree(tmp_path, tiny_base, hugging_face(tiny_base))
    assert plugin.settings.kind == "svd-lora"
    assert sorted(plugin.settings.ranks.values()) == ([1, 1, 3, 3] if prune else [])


def test_the_adapter_that_we_export_for_open_clip_comes_back(tiny_base: BaseModule, tmp_path: Path) -> None:
    for kind in ("lora", "dora"):
        network = choose_network(FusedPlugin(make_plugin(tiny_base, kind=kind)), tiny_base)  # type: ignore[arg-type]
        for name in ("peft", "peft-hf"):
            export(network, name, tmp_path / f"{kind}-{name}")
            plugin = import_adapter(tmp_path / f"{kind}-{name}", tiny_base).plugin
            for site, change in network.change.items():
                assert torch.allclose(plugin.delta(site, tiny_base), change, atol=1e-5)


def test_an_adapter_of_open_clips_own_model_keeps_its_change(tiny_base: BaseModule, tmp_path: Path) -> None:
    """PEFT adapts keys and outputs with an attention; where these stay as they were, the rest is a plugin."""
    config = LoraConfig(r=4, lora_alpha=6, target_modules=[r"visual.transformer.resblocks.1.attn"])
    model = get_peft_model(own_model(tiny_base), config)
    draw(model)
    model.save_pretrained(str(tmp_path / "keys"))
    with pytest.raises(InvalidBranch, match="query, value and projection of the image tower alone"):
        import_adapter(tmp_path / "keys", tiny_base)
    width = 32
    for name, parameter in model.named_parameters():
        if name.endswith("attn.lora_B.default.weight"):
            parameter.data[width : 2 * width] = 0
        if "out_proj.lora_B" in name:
            parameter.data.zero_()
    model.save_pretrained(str(tmp_path / "rest"))
    agree(tmp_path / "rest", tiny_base, own_model(tiny_base))


def test_a_pickle_is_read_without_running_it(tiny_base: BaseModule, tmp_path: Path) -> None:
    adapted = saved(tmp_path, hugging_face(tiny_base), LoraConfig(r=4, target_modules=VISION))
    whole = import_adapter(tmp_path, tiny_base).plugin
    (tmp_path / "adapter_model.safetensors").unlink()
    torch.save(peft.get_peft_model_state_dict(adapted), tmp_path / "adapter_model.bin")
    assert import_adapter(tmp_path, tiny_base).plugin.digest == whole.digest

    class Harm:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path(tmp_path / "harm").touch, ())

    whole_file = (tmp_path / "adapter_model.bin").read_bytes()
    torch.save({"x": Harm()}, tmp_path / "archive.bin")
    for data in (
        pickle.dumps({"x": Harm()}),
        (tmp_path / "archive.bin").read_bytes(),
        whole_file[: len(whole_file) // 2],
        b"",
    ):
        (tmp_path / "adapter_model.bin").write_bytes(data)
        with pytest.raises(CorruptFile, match="holds more than tensors") as refused:
            import_adapter(tmp_path, tiny_base)
        # no advice to run what is in it
        assert "weights_only" not in str(refused.value)
    assert not (tmp_path / "harm").exists()


@pytest.fixture(scope="module")
def plain(tiny_base: BaseModule, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("plain")
    saved(directory, hugging_face(tiny_base), LoraConfig(r=4, lora_alpha=6, target_modules=VISION))
    return directory


def changed(
    plain: Path, to: Path, config: dict[str, Any] | None = None, tensors: Callable[[dict[str, Any]], Any] | None = None
) -> Path:
    """A copy of the plain adapter with other fields, or with what a function leaves of its tensors."""
    document = json.loads((plain / "adapter_config.json").read_text()) | (config or {})
    found = load_file(plain / "adapter_model.safetensors")
    if tensors is not None:
        found = tensors(found)
    (to / "adapter_config.json").write_text(json.dumps(document))
    save_file({name: one.contiguous() for name, one in found.items()}, to / "adapter_model.safetensors")
    return to


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"init_lora_weights": "pissa"}, "(PiSSA, for init_lora_weights is 'pissa')"),
        ({"init_lora_weights": "pissa_niter_4"}, "(PiSSA, for"),
        ({"init_lora_weights": "olora"}, "(OLoRA, for"),
        ({"init_lora_weights": "loftq", "loftq_config": {"loftq_bits": 4}}, "(LoftQ, for"),
        ({"init_lora_weights": "next-year"}, "(init_lora_weights is 'next-year')"),
        ({"alora_invocation_tokens": [1, 2]}, "(aLoRA, for alora_invocation_tokens is [1, 2])"),
        ({"use_everything": True}, "(use_everything is True)"),
        ({"use_everything": False}, "(use_everything is False)"),
        ({"bias": "all"}, "(bias is 'all')"),
        ({"fan_in_fan_out": 1}, "(fan_in_fan_out is 1)"),
        ({"fan_in_fan_out": True}, "(fan_in_fan_out is True)"),
        ({"lora_bias": True}, "(lora_bias is True)"),
        ({"use_qalora": True}, "(QALoRA, for use_qalora is True)"),
        ({"modules_to_save": ["classifier"]}, "(modules_to_save is ['classifier'])"),
        ({"peft_type": "LOHA"}, "is a LOHA adapter; give a LoRA"),
        ({"r": 0}, "has a configuration that cannot be (r"),
        ({"r": 1 << 20}, "has a configuration that cannot be (r"),
        ({"rank_pattern": {"(": 3}}, "'(' is no regular expression"),
        ({"r": 5}, "A at 'vision_model.encoder.layers.0.self_attn.q_proj' is (4, 32) where (5, 32) is due"),
        ({"use_dora": True}, "has A, B at 'vision_model"),
    ],
)
def test_what_nobody_knows_is_refused_by_name(
    tiny_base: BaseModule, plain: Path, tmp_path: Path, config: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidBranch, match=re.escape(sentence)):
        import_adapter(changed(plain, tmp_path, config), tiny_base)


FIRST = "base_model.model.vision_model.encoder.layers.0.self_attn.q_proj"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t: {n: v for n, v in t.items() if not n.startswith(FIRST)}, "has no weights for 'vision_model"),
        (lambda t: {n: v for n, v in t.items() if n != f"{FIRST}.lora_B.weight"}, "has A at 'vision_model"),
        (lambda t: {n.replace("vision_model", "image"): v for n, v in t.items()}, "adapts 'image.encoder.layers.0"),
        (lambda t: {n.replace(".0.self", ".7.self"): v for n, v in t.items()}, "adapts 'vision_model.encoder.layers.7"),
        (lambda t: t | {f"{FIRST}.lora_C.weight": torch.zeros(2)}, "which is no tensor of a LoRA"),
        (lambda t: {n.removeprefix("base_model."): v for n, v in t.items()}, "which is no tensor of a LoRA"),
        (lambda t: {n: v[:, :20] if n.endswith("lora_A.weight") else v for n, v in t.items()}, "does not fit"),
        (lambda t: {n: v * float("nan") for n, v in t.items()}, "not finite"),
        (lambda t: {n: torch.zeros_like(v) for n, v in t.items() if "encoder" not in n}, "has no weights for"),
    ],
)  # fmt: skip
def test_half_an_adapter_is_refused(
    tiny_base: BaseModule, plain: Path, tmp_path: Path, change: Callable[[Any], Any], sentence: str
) -> None:
    with pytest.raises(InvalidBranch, match=re.escape(sentence)):
        import_adapter(changed(plain, tmp_path, tensors=change), tiny_base)


def test_an_adapter_of_another_base_is_refused(tiny_base: BaseModule, plain: Path, tmp_path: Path) -> None:
    other = load_base("medforge-tiny", device="cpu")
    with pytest.raises(InvalidBranch, match="does not fit medforge-tiny: A at"):
        import_adapter(plain, other)
    export(choose_network(FusedPlugin(make_plugin(tiny_base)), tiny_base), "peft", tmp_path / "ours")
    with pytest.raises(BaseMismatch, match="give its own with --base"):
        import_adapter(tmp_path / "ours", other)
    with pytest.raises(InvalidInput, match="cannot read the adapter at"):
        import_adapter(tmp_path, tiny_base)


def test_an_adapter_trained_with_peft_alone_is_merged_and_goes_out_again(tiny_base: BaseModule, tmp_path: Path) -> None:
    """From plain PEFT on Hugging Face's CLIP, through a merge with another plugin, to Hugging Face's CLIP."""
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(4))
    labels, tokens = torch.arange(8) % 2, tiny_base.tokenizer(["benign lung", "lung cancer"])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = get_peft_model(hugging_face(tiny_base), LoraConfig(r=4, lora_alpha=8, target_modules=VISION))
    optimiser = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=0.01)
    losses = []
    for _ in range(5):
        logits = model(input_ids=tokens, pixel_values=images).logits_per_image
        loss = nn.functional.cross_entropy(logits, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    model.save_pretrained(str(tmp_path / "theirs"))

    plugin = import_adapter(tmp_path / "theirs", tiny_base).plugin
    with torch.inference_mode():
        due = model.eval()(input_ids=tokens, pixel_values=images).logits_per_image
    prompts = ("benign lung", "lung cancer")
    found = tiny_base.logits(tiny_base.embed_all(images, plugin.deltas(tiny_base)), prompts)
    assert torch.allclose(found, due, atol=1e-4)

    item = merge([plugin, make_plugin(tiny_base, size=0.1)], method="task-arithmetic", base=tiny_base)
    network, answered = choose_network(item, tiny_base), item.logits(tiny_base, images, prompts)
    assert float((answered - due).abs().max()) > 1e-2
    for name, module in (("hf", hugging_face_format), ("peft-hf", peft_hf)):
        export(network, name, tmp_path / name)
        assert torch.allclose(module.logits(network, tmp_path / name, images, tokens), answered, atol=1e-5)
    again = import_adapter(tmp_path / "peft-hf", tiny_base).plugin
    assert torch.allclose(FusedPlugin(again).logits(tiny_base, images, prompts), answered, atol=1e-5)


def test_every_field_that_this_peft_writes_is_known() -> None:
    """A field that a new PEFT adds with a value of its own makes this fail, and somebody decides what it means."""
    for config in (LoraConfig(r=4), AdaLoraConfig(init_r=4, total_step=10)):
        assert first_oddity(json.loads(json.dumps(config.to_dict(), default=lambda one: None))) is None


def test_the_command_says_what_came_in(tiny_spec: str, plain: Path, tmp_path: Path) -> None:
    arguments = ["import", str(plain), "--base", tiny_spec, "--out", str(tmp_path / "plugin")]
    done = CliRunner().invoke(APP, arguments)
    assert done.exit_code == 0, done.output
    assert f"the lora of rank 4 at 5 of 5 layers is in {tmp_path}" in " ".join(done.output.split())
    assert Plugin.load(tmp_path / "plugin").settings.alpha == 6
    assert "is not an empty directory" in str(CliRunner().invoke(APP, arguments).exception)
