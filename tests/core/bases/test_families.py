"""A base module embeds as open_clip does, whatever family it is of; what has no attention is refused by name."""

from pathlib import Path

import open_clip
import pytest
import torch
from torch.nn import functional as F

from medforge.base import load_base
from medforge.errors import InvalidInput
from tests.core.bases.families import FAMILIES, WITHOUT_ATTENTION, make

PROMPTS = ["a benign tumour", "normal tissue"]


@pytest.mark.parametrize("name", FAMILIES)
def test_it_embeds_as_open_clip_does(name: str, tmp_path: Path) -> None:
    model, config = make(name, FAMILIES[name], tmp_path)
    weights = tmp_path / "weights.pt"
    # what is in a captioner's decoder may be anything
    torch.save(
        {n: t * (torch.nan if n.startswith("text_decoder.") else 1) for n, t in model.state_dict().items()}, weights
    )
    base = load_base(f"{config}:{weights}", "cpu")
    images = torch.randn(2, 3, base.image_size, base.image_size, generator=torch.Generator().manual_seed(1))
    tokens = open_clip.get_tokenizer(f"family-{name}")(PROMPTS)
    with torch.no_grad():
        seen = F.normalize(base.embed(images), dim=-1)
        assert torch.allclose(seen, model.encode_image(images, normalize=True), atol=1e-5)
        assert torch.allclose(base.prompt_features(PROMPTS), model.encode_text(tokens, normalize=True), atol=1e-5)
        assert torch.equal(base.tokenizer(PROMPTS), tokens)
        # a change of every site's weight has an effect
        for site in base.sites:
            change = torch.randn(base.site_shape(site), generator=torch.Generator().manual_seed(2))
            assert not torch.equal(F.normalize(base.embed(images, {site: change}), dim=-1), seen), site


def test_the_activation_is_a_function_of_its_own(tmp_path: Path) -> None:
    """The same weights under GELU and under QuickGELU are two base modules."""
    model, quick = make("openai", FAMILIES["openai"], tmp_path)
    _, plain = make("clip", FAMILIES["clip"], tmp_path)
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    bases = [load_base(f"{config}:{tmp_path / 'weights.pt'}", "cpu") for config in (quick, plain)]
    assert bases[0].fingerprint != bases[1].fingerprint
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    assert not torch.allclose(bases[0].embed(images), bases[1].embed(images), atol=1e-4)


@pytest.mark.parametrize("name", WITHOUT_ATTENTION)
def test_a_tower_without_attention_is_refused_by_name(name: str, tmp_path: Path) -> None:
    model, config = make(name, WITHOUT_ATTENTION[name], tmp_path)
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    with pytest.raises(InvalidInput, match=r"visual tower, (convnext_atto|a ResNet), has no .* choose a vision"):
        load_base(f"{config}:{tmp_path / 'weights.pt'}", "cpu")
