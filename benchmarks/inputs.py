"""What benchmarks share: options, base modules, drawn image files, agreement of two results, and how they end."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image
from torch import Tensor

from medforge.base import BaseModule, load_base
from medforge.client.data.catalogue import names, open_task
from medforge.client.data.pixels.decode import read_image
from medforge.client.data.task import Task
from medforge.errors import MedForgeError
from medforge.seeds import derive
from medforge.simulation.benchmark.settings import BenchmarkSettings, parse_seeds
from medforge.simulation.centres import demonstration_recipe, parse_centres

# Written as most centres store theirs: JPEG files somewhat larger than what the base sees.
_SIDE = 256
_DRAWN_SIDE = 128
_TEST_PER_CLASS = 2


def options_parser(about: str | None, per_class: int) -> argparse.ArgumentParser:
    """Make a parser of the options that both have: base, images, seed, device and threads."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="medforge-tiny", help="base module, or an architecture for random weights")
    parser.add_argument("--images", type=Path, help="an image folder with train/ and test/; drawn where it is missing")
    parser.add_argument("--per-class", type=int, default=per_class, help="images drawn per class")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int)
    return parser


def artefact_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name artefacts of ``medforge benchmark`` and how they are made."""
    parser.add_argument("--out", type=Path, required=True, help="directory of artefacts, as of `medforge benchmark`")
    parser.add_argument("--centre", action="append", default=[], help="NAME=SOURCE; drawn tissue where none is given")
    parser.add_argument("--divide", action="append", default=[], help="put several centres in the place of one")
    parser.add_argument("--base", default="medforge-tiny")
    parser.add_argument("--recipe")
    parser.add_argument("--recipe-set", action="append", default=[], help="change a setting of it, as in train.lr=0.1")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="bf16")


def artefact_settings(options: argparse.Namespace) -> BenchmarkSettings:
    """Read what `artefact_options` and ``--seeds`` were given; raises InvalidInput for what cannot be used."""
    return BenchmarkSettings(
        centres=parse_centres(options.centre, list(names()), options.divide),
        seeds=parse_seeds(options.seeds),
        base=options.base,
        recipe=options.recipe or demonstration_recipe(options.centre, options.base) or "tiny",
        changes=tuple(options.recipe_set),
        device=options.device,
        dtype=options.dtype,
    )


def finish(run: Callable[[argparse.Namespace], None], options: argparse.Namespace) -> int:
    """Run a benchmark, and return the exit status: 2 where it was asked for what cannot be, said on stderr."""
    try:
        run(options)
    except MedForgeError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def open_base(spec: str, device: str, dtype: str) -> BaseModule:
    """Load a base module; an open_clip architecture by its name alone gets fixed random weights."""
    if spec not in open_clip.list_models():
        return load_base(spec, device, dtype)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(0, "benchmark", "base"))
        clip = open_clip.create_model(spec, pretrained=None)
    config = open_clip.get_model_config(spec) or {}
    preprocess = clip.visual.preprocess_cfg
    tokenizer = open_clip.get_tokenizer(spec)
    return BaseModule(clip, tokenizer, spec, config, preprocess["mean"], preprocess["std"], device, dtype)


@contextmanager
def image_folder(given: Path | None, per_class: int, seed: int) -> Iterator[Path]:
    """Return the folder of images that was named, or a temporary one of drawn tissue, as JPEG files of 256 × 256."""
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        count = 2 * per_class
        drawn = open_task(f"tissue:breast,train={count},validation=2,test={2 * _TEST_PER_CLASS}", _DRAWN_SIDE, seed)
        for part, split in (("train", drawn.train), ("test", drawn.test)):
            for index, label in enumerate(split.labels.tolist()):
                folder = root / part / drawn.prompts[label].replace(" ", "_")
                folder.mkdir(parents=True, exist_ok=True)
                pixels = split.images[[index]][0].numpy()
                image = Image.fromarray(np.moveaxis(pixels, 0, -1)).resize((_SIDE, _SIDE))
                image.save(folder / f"{index}.jpg", quality=95)
        yield root


def open_images(root: Path, base: BaseModule, seed: int) -> Task:
    """Open the folder's task at the base's image size; nothing is decoded yet."""
    return open_task(f"folder:{root}", base.preprocessing, seed)


def decode_one(root: Path, task: Task, index: int) -> Tensor:
    """Decode one training image from its file, uint8 [3, S, S], as a plain loop does whenever it needs it."""
    images = task.train.images
    return torch.from_numpy(read_image(root / images.names[index], images.image_size))


def relative_difference(found: Tensor, wanted: Tensor) -> float:
    """Return ‖found − wanted‖ / ‖wanted‖."""
    return float((found - wanted).norm() / wanted.norm())


def cosine(found: Tensor, wanted: Tensor) -> float:
    """Return the cosine between two tensors taken as vectors."""
    return float(torch.cosine_similarity(found.flatten().double(), wanted.flatten().double(), dim=0))
