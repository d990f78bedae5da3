import json
from pathlib import Path

import open_clip
import pytest
import torch

from medforge.base import load_ahead, load_base
from medforge.base_module import BaseModule
from medforge.embedded import load_embedded
from medforge.errors import CorruptFile, InvalidInput
from tests.conftest import TINY_CONFIG


def build(name: str, **options: object) -> tuple[torch.nn.Module, BaseModule]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        clip = open_clip.create_model(name, **options).eval()
    config = open_clip.get_model_config(name)
    tokenizer = open_clip.get_tokenizer(name)
    reference = open_clip.create_model(name, **options).eval()
    reference.load_state_dict(clip.state_dict())
    return reference, BaseModule(clip, tokenizer, name, config, (0.5,) * 3, (0.25,) * 3, device="cpu")


def test_vit_b_16_embeds_as_open_clip_does() -> None:
    reference, base = build("ViT-B-16")
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = reference.encode_image(images)
        assert torch.allclose(base.embed(images), expected, atol=1e-5)
    assert len(base.sites) == 25
    assert (base.image_size, base.embed_dim) == (224, 512)


def test_embedded_base_embeds_as_open_clip_does() -> None:
    reference, _, _ = load_embedded("medforge-tiny")
    base = load_base("medforge-tiny", device="cpu")
    images = torch.randn(3, 3, base.image_size, base.image_size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.allclose(base.embed(images), reference.encode_image(images), atol=1e-5)


def test_timm_tower_is_split_too(tmp_path: Path) -> None:
    vision = {"timm_model_name": "vit_tiny_patch16_224", "image_size": 224, "timm_pool": "token", "timm_proj": "linear"}
    config = tmp_path / "tiny-timm-clip.json"
    config.write_text(json.dumps({**TINY_CONFIG, "vision_cfg": vision}))
    open_clip.add_model_config(config)
    reference, base = build("tiny-timm-clip")
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.allclose(base.embed(images), reference.encode_image(images), atol=1e-5)
    assert "trunk.trunk.blocks.0.attn.qkv.q_proj" in base.sites
    assert "trunk.head.proj" in base.sites


def test_tower_without_attention_is_refused() -> None:
    with pytest.raises(InvalidInput, match="choose a vision transformer"):
        build("RN50")


def test_fingerprint_is_of_the_weights_and_not_of_dtype(tiny_spec: str, tiny_base: BaseModule) -> None:
    assert load_base(tiny_spec, "cpu", "bf16").fingerprint == tiny_base.fingerprint
    assert load_base("medforge-tiny", "cpu").fingerprint != tiny_base.fingerprint


def test_weight_changes_are_added(tiny_base: BaseModule) -> None:
    site = tiny_base.sites[0]
    delta = torch.randn(tiny_base.site_shape(site), generator=torch.Generator().manual_seed(2))
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    changed = tiny_base.embed(images, {site: delta})
    layer = tiny_base.visual.get_submodule(site)
    frozen = layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight += delta
        by_hand = tiny_base.embed(images)
        # to the bit, since every other test uses this base too
        layer.weight.copy_(frozen)
    assert torch.allclose(changed, by_hand, atol=1e-6)
    assert not torch.allclose(changed, tiny_base.embed(images), atol=1e-3)


def test_embeddings_carry_gradients_to_pixels_but_not_to_frozen_weights(tiny_base: BaseModule) -> None:
    images = torch.zeros(1, 3, 32, 32, requires_grad=True)
    tiny_base.embed(images).sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    assert all(p.grad is None for p in tiny_base.parameters())


def test_in_bf16_gradients_go_the_same_way_as_in_fp32(tiny_spec: str, tiny_base: BaseModule) -> None:
    """A gradient pass in bf16 on a CPU has an attention of its own."""
    half = load_base(tiny_spec, device="cpu", dtype="bf16")
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    gradients = []
    for base in (tiny_base, half):
        pixels = images.clone().requires_grad_()
        embedded = base.embed(pixels)
        with torch.no_grad():
            assert torch.nn.functional.cosine_similarity(embedded, base.embed(images)).min() > 0.999
        embedded.square().sum().backward()
        assert pixels.grad is not None
        gradients.append(pixels.grad.flatten())
    assert torch.nn.functional.cosine_similarity(gradients[0], gradients[1], dim=0) > 0.99


def test_prompt_features_are_encoded_once(tiny_base: BaseModule) -> None:
    first = tiny_base.prompt_features(["benign tissue", "malignant tissue"])
    assert tiny_base.prompt_features(("benign tissue", "malignant tissue")) is first
    assert torch.allclose(first.norm(dim=1), torch.ones(2))


def test_normalise_maps_bytes_to_the_input_space(tiny_base: BaseModule) -> None:
    pixels = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 1, 1)
    low, high = tiny_base.normalise(pixels)[:, 0, 0, 0].tolist()
    mean, std = tiny_base.mean[0], tiny_base.std[0]
    assert (low, high) == (pytest.approx(-mean / std), pytest.approx((1 - mean) / std))


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("nothing", "is not of a known form; write medforge-tiny"),
        ("ViT-B-16/no-such-tag", "open_clip has no weights 'no-such-tag' for ViT-B-16; it has openai"),
        ("ViT-B-77/openai", "open_clip has no architecture 'ViT-B-77'"),
        ("ViT-B-16:/no/such/file.pt", "checkpoint /no/such/file.pt does not exist; check the path"),
    ],
)
def test_unknown_bases_are_named(spec: str, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        load_base(spec)


def test_corrupt_checkpoint_is_named(tiny_spec: str, tmp_path: Path) -> None:
    config, _, checkpoint = tiny_spec.partition(":")
    data = Path(checkpoint).read_bytes()
    broken = tmp_path / "broken.pt"
    broken.write_bytes(data[: len(data) // 2])
    with pytest.raises(CorruptFile, match="cannot be read"):
        load_base(f"{config}:{broken}")


def test_checkpoint_of_another_architecture_is_named(tiny_spec: str) -> None:
    _, _, checkpoint = tiny_spec.partition(":")
    with pytest.raises(CorruptFile, match="check that it fits the architecture"):
        load_base(f"ViT-B-16:{checkpoint}")


def test_unknown_device_and_dtype(tiny_spec: str) -> None:
    with pytest.raises(InvalidInput, match="use --device auto or cpu"):
        load_base(tiny_spec, device="abacus")
    with pytest.raises(InvalidInput, match="choose one of fp32, bf16, fp16"):
        load_base(tiny_spec, device="cpu", dtype="fp7")


def test_a_base_that_was_loaded_ahead_is_taken_once(tiny_spec: str) -> None:
    load_ahead(tiny_spec, "cpu", "fp32")
    other, taken, again = (load_base(tiny_spec, "cpu", dtype) for dtype in ("bf16", "fp32", "fp32"))
    assert other.dtype == torch.bfloat16
    assert taken is not again
    assert taken.fingerprint == again.fingerprint
    pixels = torch.randn(2, 3, taken.image_size, taken.image_size)
    assert torch.equal(taken.embed_all(pixels), again.embed_all(pixels))
