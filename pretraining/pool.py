"""The pretraining pool: pictures, captions and attributes, painted once by parallel workers."""

from __future__ import annotations

import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from medforge.client.data.drawn.painter import ARCHITECTURES, paint
from medforge.seeds import derive, generator
from pretraining.greyscale import ATTRIBUTES, describe_grey, paint_grey
from pretraining.scenes import describe, draw_scenes, draw_wide_stain

CHUNK = 256
GREY = 32  # grey pictures in a chunk
STRIP = 8  # pictures painted at once: their maps stay in the processor's cache


@dataclass
class Pool:
    """Pictures uint8 [n, 3, 64, 64], attributes float32 [n, k] (NaN where one does not apply) and n captions."""

    pictures: Tensor
    attributes: Tensor
    captions: list[str]


def paint_chunk(chunk: int, seed: int) -> Pool:
    """Paint one chunk of the pool; depends on the seed and the chunk's number only."""
    torch.set_num_threads(1)
    draw = generator(seed, "pool", chunk)
    chance = random.Random(derive(seed, "captions", chunk))
    count = CHUNK - GREY
    scenes, stain = draw_scenes(count, draw), draw_wide_stain(count, draw)
    strips = [torch.arange(start, min(start + STRIP, count)) for start in range(0, count, STRIP)]
    pictures = torch.cat([paint(scenes.select(strip), stain.select(strip), draw) for strip in strips])
    kinds = torch.nn.functional.one_hot(scenes.architecture, len(ARCHITECTURES)).float()
    tissue = torch.cat([kinds, scenes.table()[:, 1:], stain.table()], 1)
    grey, about = paint_grey(GREY, draw)
    attributes = torch.full((CHUNK, tissue.shape[1] + ATTRIBUTES), float("nan"))
    attributes[:count, : tissue.shape[1]] = tissue
    attributes[count:, tissue.shape[1] :] = about
    captions = describe(scenes, stain, chance) + describe_grey(about, chance)
    return Pool(torch.cat([pictures, grey]), attributes, captions)


def paint_pool(chunks: int, seed: int, workers: int) -> Pool:
    """Paint `chunks` chunks with `workers` processes; the result does not depend on the number of workers."""
    with ProcessPoolExecutor(workers) as executor:
        parts = list(executor.map(partial(paint_chunk, seed=seed), range(chunks)))
    return Pool(
        torch.cat([part.pictures for part in parts]),
        torch.cat([part.attributes for part in parts]),
        [caption for part in parts for caption in part.captions],
    )
