"""A snapshot directory like BiomedCLIP's: a timm image tower, Hugging Face's BERT as text tower, random weights."""

import json
from pathlib import Path
from typing import Any

import torch
from open_clip.model import CustomTextCLIP
from transformers import BertConfig

NAME = "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract"
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz0123456789", "tissue", "benign"]
VOCABULARY = [*WORDS, *(f"##{one}" for one in "abcdefghijklmnopqrstuvwxyz0123456789"), "malignant", "a", "of"]
MODEL: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {
        "timm_model_name": "vit_tiny_patch16_224",
        "timm_pool": "",
        "timm_proj": "linear",
        "image_size": 224,
    },
    "text_cfg": {
        "hf_model_name": NAME,
        "hf_tokenizer_name": NAME,
        "hf_proj_type": "mlp",
        "hf_pooler_type": "cls_last_hidden_state_pooler",
        "context_length": 24,
    },
}
PREPARED = {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}


def bert(vocabulary: int = len(dict.fromkeys(VOCABULARY))) -> BertConfig:
    return BertConfig(
        vocab_size=vocabulary, hidden_size=64, num_hidden_layers=2, num_attention_heads=1, intermediate_size=96,
        max_position_embeddings=32,
    )  # fmt: skip


def write_snapshot(directory: Path, with_config: bool = False, image_size: int = 224) -> Any:
    """Write the directory, and return open_clip's own model of it."""
    directory.mkdir()
    config = bert()
    text = directory.parent / "bert-config"
    config.save_pretrained(text)
    vision = MODEL["vision_cfg"] | {"image_size": image_size}
    own = MODEL["text_cfg"] | {"hf_model_name": str(text), "hf_model_pretrained": False}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = CustomTextCLIP(16, vision, own).eval()
    state = model.state_dict()
    # as checkpoints of before transformers 4.31 have it
    state["text.transformer.embeddings.position_ids"] = torch.arange(32).unsqueeze(0)
    torch.save(state, directory / "open_clip_pytorch_model.bin")
    document = {"model_cfg": MODEL | {"vision_cfg": vision}, "preprocess_cfg": PREPARED}
    (directory / "open_clip_config.json").write_text(json.dumps(document))
    (directory / "vocab.txt").write_text("\n".join(dict.fromkeys(VOCABULARY)) + "\n")
    (directory / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    )
    if with_config:
        config.save_pretrained(directory)
    return model
