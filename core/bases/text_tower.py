"""A text tower and a tokenizer of Hugging Face's transformers, from files that are here: never from a network.

open_clip names them by their place on the hub, and transformers would look there. Here both are made of files, of which
only what is data is used: classes of a directory's own are refused.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from medforge.errors import CorruptFile, InvalidInput
from medforge.files import canonical_json, parse_json

if TYPE_CHECKING:
    from torch import Tensor

Tokenizer = Callable[[list[str]], "Tensor"]
"""What takes texts apart: numbers of tokens [n, length]."""

CONFIG_FILE = "config.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
VOCABULARIES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)
TOKENIZER_FILES = (*VOCABULARIES, TOKENIZER_CONFIG, "special_tokens_map.json", "added_tokens.json", "merges.txt")
# the kinds of text towers that open_clip has (open_clip.hf_configs)
_KINDS = ("bert", "roberta", "xlm-roberta", "mt5", "m2m_100")
_LIKE_ROBERTA = {"layer_norm_eps": 1e-5, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
# what of a configuration changes what a tower of these weights computes
_DECIDING = (
    *("hidden_act", "layer_norm_eps", "pad_token_id", "num_attention_heads", "position_embedding_type"),
    *("num_heads", "d_kv", "feed_forward_proj", "dense_act_fn", "layer_norm_epsilon", "relative_attention_num_buckets"),
    *("relative_attention_max_distance", "activation_function", "encoder_attention_heads", "scale_embedding"),
)
_PROBES = (
    "benign tissue, 3.5 mm",
    "A malignant Tumour (T2N0)",
    "Röntgen: Pneumonie—œdème",
    "naïve café 肺炎 👩‍⚕️",
    "supercalifragilistic " * 300,
)


def read_config(path: Path) -> dict[str, Any] | None:
    """Return the configuration of a text tower in a file, None where the file is absent or of something else."""
    try:
        found = parse_json(path.read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or found.get("model_type") not in _KINDS:
        return None
    return {name: value for name, value in found.items() if name != "auto_map"}


def has_tokenizer(folder: Path) -> bool:
    """Say whether a tokenizer's vocabulary lies in a folder."""
    return any((folder / name).is_file() for name in VOCABULARIES)


def can_be_inferred(name: str) -> bool:
    """Say whether a model of a name is of a kind whose configuration its weights tell (see `inferred_config`)."""
    return "bert" in name.lower()


def inferred_config(name: str, weights: Mapping[str, Tensor]) -> dict[str, Any] | None:
    """Return the configuration of a BERT or RoBERTa of which only its name and weights are here.

    Sizes are those of the weights; a head is 64 wide and the rest is the kind's usual, as in every published model of
    these names. None for weights of another kind, or where that cannot be.
    """
    inside = "text.transformer."
    of = {key.removeprefix(inside): tensor for key, tensor in weights.items() if key.startswith(inside)}
    words, places, kinds = (
        of.get(f"embeddings.{part}_embeddings.weight") for part in ("word", "position", "token_type")
    )
    wide = of.get("encoder.layer.0.intermediate.dense.weight")
    if words is None or places is None or kinds is None or wide is None or words.shape[1] % 64:
        return None
    last = name.lower().rpartition("/")[2]
    kind = next((one for one in ("xlm-roberta", "roberta") if one in last), "bert")
    layers = {match[1] for key in of if (match := re.match(r"encoder\.layer\.(\d+)\.", key))}
    return {
        "model_type": kind,
        "vocab_size": words.shape[0],
        "hidden_size": words.shape[1],
        "num_attention_heads": words.shape[1] // 64,
        "num_hidden_layers": len(layers),
        "intermediate_size": wide.shape[0],
        "max_position_embeddings": places.shape[0],
        "type_vocab_size": kinds.shape[0],
        **({} if kind == "bert" else _LIKE_ROBERTA),
    }


@contextmanager
def as_directory(config: Mapping[str, Any]) -> Iterator[str]:
    """Lend a directory that holds a text tower's configuration alone, for open_clip to name instead of the hub."""
    with TemporaryDirectory() as directory:
        (Path(directory) / CONFIG_FILE).write_text(json.dumps(dict(config)), encoding="utf-8")
        yield directory


def load_tokenizer(folder: Path, text: Mapping[str, Any], what: str) -> Tokenizer:
    """Return open_clip's tokenizer over the files of a folder; ``text`` is the model's text configuration.

    Raises InvalidInput for a tokenizer that is code of its own, CorruptFile for files that make none.
    """
    from open_clip.tokenizer import DEFAULT_CONTEXT_LENGTH, HFTokenizer

    with TemporaryDirectory() as directory, _quiet():
        _copy_data(folder, Path(directory), what)
        try:
            made: Tokenizer = HFTokenizer(
                directory,
                context_length=text.get("context_length", DEFAULT_CONTEXT_LENGTH),
                tokenizer_mode=text.get("tokenizer_mode"),
                **{**text.get("tokenizer_kwargs", {}), "local_files_only": True, "trust_remote_code": False},
            )
            return made
        except Exception as error:  # of transformers and of tokenizers, which have none in common
            raise CorruptFile(
                f"{what} cannot be read: the files in {folder} make no tokenizer; fetch them again"
            ) from error


def _copy_data(folder: Path, to: Path, what: str) -> None:
    for name in TOKENIZER_FILES:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, to / name)
    for name in (CONFIG_FILE, TOKENIZER_CONFIG):
        try:
            found = parse_json((folder / name).read_bytes())
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise CorruptFile(f"{what} cannot be read: {folder / name} is no JSON; fetch it again") from error
        if name == TOKENIZER_CONFIG and isinstance(found, dict) and "auto_map" in found:
            raise InvalidInput(
                f"{what} cannot be used: its tokenizer is code of its own, which is not run; choose a base module "
                "whose tokenizer is data"
            )
        if name == TOKENIZER_CONFIG or (isinstance(found, dict) and found.get("model_type") in _KINDS):
            kept = {key: value for key, value in found.items() if key != "auto_map"} if isinstance(found, dict) else {}
            (to / name).write_text(json.dumps(kept), encoding="utf-8")
    if not (to / TOKENIZER_CONFIG).is_file() and not (to / CONFIG_FILE).is_file():
        # else transformers does not know of which kind the vocabulary is
        kind = "BertTokenizer" if (to / "vocab.txt").is_file() else "PreTrainedTokenizerFast"
        (to / TOKENIZER_CONFIG).write_text(json.dumps({"tokenizer_class": kind}), encoding="utf-8")


@contextmanager
def _quiet() -> Iterator[None]:
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def text_facts(clip: Any, tokenizer: Any) -> dict[str, Any]:
    """Return what decides prompt features beside weights and open_clip's configuration; nothing for open_clip's own.

    Of a text tower of transformers it is how its configuration differs from the usual one of its kind; of a tokenizer
    of transformers a digest of its vocabulary and of how it takes apart a few texts.
    """
    found: dict[str, Any] = {}
    if (config := getattr(getattr(clip, "text", None), "config", None)) is not None:
        usual = type(config)()
        given = {name: getattr(config, name, None) for name in _DECIDING}
        # versions of transformers call the usual positions absolute, or say nothing of them
        unusual = {
            name: value for name, value in given.items() if value != getattr(usual, name, None) and value != "absolute"
        }
        if unusual:
            found["text"] = {"model_type": config.model_type, **unusual}
    if (inner := getattr(tokenizer, "tokenizer", None)) is not None and hasattr(inner, "get_vocab"):
        behaviour = [sorted(inner.get_vocab().items()), tokenizer(list(_PROBES)).tolist()]
        found["tokenizer"] = hashlib.sha256(canonical_json(behaviour)).hexdigest()
    return found
