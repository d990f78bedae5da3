"""A directory that Hugging Face's transformers loads as a CLIPModel, with tokenizer and image processor."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import save
from torch import Tensor

from medforge.base_module import BaseModule
from medforge.errors import InvalidInput
from medforge.model.export.hugging_face_config import clip_config
from medforge.model.export.own_model import own_state
from medforge.model.export.prompts import tokens_of, write_prompts
from medforge.model.network import Network

WEIGHTS_FILE = "model.safetensors"
_MARKS = ("<|startoftext|>", "<|endoftext|>")
# open_clip's name → transformers' name, of a tower and of a block of its transformer
_VISION = {
    "class_embedding": "embeddings.class_embedding",
    "positional_embedding": "embeddings.position_embedding.weight",
    "conv1.weight": "embeddings.patch_embedding.weight",
    "ln_pre": "pre_layrnorm",
    "ln_post": "post_layernorm",
}
_TEXT = {
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_final": "final_layer_norm",
}
_BLOCK = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}


def write(network: Network, directory: Path) -> str:
    """Write the directory; return the Python lines that use it there.

    Raises InvalidInput, naming the part, for an architecture that CLIPModel does not have.
    """
    base = network.base
    config = clip_config(base)
    _dump(directory / "config.json", config)
    state = hugging_face_state(own_state(base, network.merged))
    (directory / WEIGHTS_FILE).write_bytes(save(state, {"format": "pt"}))
    write_image_processor(base, directory)
    write_prompts(network, directory)
    if isinstance(base.tokenizer, SimpleTokenizer):
        _write_tokenizer(base.tokenizer, config["text_config"]["max_position_embeddings"], directory)
    return _use(network)


def logits(network: Network, directory: Path, images: Tensor, tokens: Tensor) -> Tensor:
    """Return what transformers makes of normalised images and tokens with the directory alone; [n, C]."""
    from transformers import CLIPModel
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    model = CLIPModel.from_pretrained(directory).eval()
    with torch.inference_mode():
        found: Tensor = model(input_ids=tokens, pixel_values=images).logits_per_image
    return found


def hugging_face_state(own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Translate the state dict of open_clip's CLIP to that of Hugging Face's CLIPModel."""
    found = {
        "logit_scale": own["logit_scale"].reshape(()),
        "visual_projection.weight": own["visual.proj"].T,
        "text_projection.weight": own["text_projection"].T,
    }
    for name, tensor in own.items():
        if name in ("logit_scale", "visual.proj", "text_projection"):
            continue
        seen = name.startswith("visual.")
        tower, names = ("vision_model", _VISION) if seen else ("text_model", _TEXT)
        for part, one in _translate(name.removeprefix("visual."), tensor, names):
            found[f"{tower}.{part}"] = one
    return {name: tensor.contiguous() for name, tensor in found.items()}


def _translate(name: str, tensor: Tensor, names: Mapping[str, str]) -> list[tuple[str, Tensor]]:
    """Return a tensor of one tower by its names there; one of query, key and value is three."""
    if not name.startswith("transformer.resblocks."):
        layer, _, kind = name.rpartition(".")
        return [(names[name] if name in names else f"{names[layer]}.{kind}", tensor)]
    index, _, inside = name.removeprefix("transformer.resblocks.").partition(".")
    block = f"encoder.layers.{index}"
    if inside.startswith("attn.in_proj_"):
        kind = inside.removeprefix("attn.in_proj_")
        thirds = zip("qkv", tensor.chunk(3), strict=True)
        return [(f"{block}.self_attn.{letter}_proj.{kind}", third) for letter, third in thirds]
    layer, _, kind = inside.rpartition(".")
    return [(f"{block}.{_BLOCK[layer]}.{kind}", tensor)]


def write_image_processor(base: BaseModule, directory: Path) -> None:
    """Write what a CLIPImageProcessor must do to an image for it to be what MedForge sees."""
    size, seen = base.image_size, base.preprocessing
    if seen.resize_mode == "longest":
        raise InvalidInput(
            "transformers' CLIPImageProcessor cannot fill an image up to a square, as the base module wants it; export "
            "to open_clip instead"
        )
    squashed = seen.resize_mode == "squash"
    document = {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"height": size, "width": size} if squashed else {"shortest_edge": size},
        "resample": {"bilinear": 2, "bicubic": 3}[seen.interpolation],  # Pillow's numbers of its filters
        "do_center_crop": not squashed,
        "crop_size": {"height": size, "width": size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": base.mean,
        "image_std": base.std,
    }
    _dump(directory / "preprocessor_config.json", document)


def _write_tokenizer(tokenizer: SimpleTokenizer, length: int, directory: Path) -> None:
    """Write CLIP's tokenizer, of whose two marks open_clip and transformers spell the names differently."""
    marks = dict(zip(tokenizer.all_special_ids, _MARKS, strict=True))
    vocabulary = {marks.get(code, token): code for token, code in tokenizer.encoder.items()}
    _dump(directory / "vocab.json", vocabulary)
    merges = "".join(f"{' '.join(pair)}\n" for pair in tokenizer.bpe_ranks)
    (directory / "merges.txt").write_text(f"#version: 0.2\n{merges}", encoding="utf-8")
    start, end = _MARKS
    names = {"bos_token": start, "eos_token": end, "pad_token": end, "unk_token": end}
    _dump(
        directory / "tokenizer_config.json",
        {"tokenizer_class": "CLIPTokenizer", "model_max_length": length, "do_lower_case": True, **names},
    )


def _use(network: Network) -> str:
    if isinstance(network.base.tokenizer, SimpleTokenizer):
        texts = [one.prompt for one in network.tasks[0].classes] if network.tasks else ["a photo", "a drawing"]
        return f"""\
from PIL import Image
from transformers import CLIPModel, CLIPProcessor

model, processor = CLIPModel.from_pretrained("."), CLIPProcessor.from_pretrained(".")
inputs = processor(text={texts!r}, images=Image.open("image.png"), return_tensors="pt", padding=True)
print(model(**inputs).logits_per_image.softmax(dim=1))"""
    return f"""\
import json, torch
from PIL import Image
from transformers import CLIPImageProcessor, CLIPModel

model, processor = CLIPModel.from_pretrained("."), CLIPImageProcessor.from_pretrained(".")
pixels = processor(Image.open("image.png"), return_tensors="pt").pixel_values
{_of_tokens(network)}"""


def _of_tokens(network: Network) -> str:
    if not network.tasks:
        return "print(model.get_image_features(pixels))"
    return f"print(model({tokens_of(network.tasks[0])}, pixels).logits_per_image.softmax(dim=1))"


def _dump(path: Path, document: object) -> None:
    path.write_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
