"""Rebuild the embedded base `medforge-tiny`: paint, pretrain, write the weights.

Run `python -m pretraining.tiny` from the repository's root. On the same machine, with the same seed and number of
threads, the weights come out the same.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from open_clip import CLIP
from safetensors.torch import save
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from medforge.embedded import MEAN, STD, build, model_config
from medforge.files import sha256_file, write_atomically
from medforge.seeds import derive, generator
from pretraining.objective import Objective
from pretraining.pool import Pool, paint_pool

OUTPUT = Path("core/embedded/medforge_tiny.safetensors")
CHUNKS = 100
STEPS = 1800
BATCH = 64
RATE = 1.5e-3
WARM_UP = 50
WEIGHTS = {"captions": 0.2, "whole": 1.0, "drawn": 0.5, "local": 0.5}


def draws(count: int, seed: int) -> Iterator[Tensor]:
    """Yield batches of positions for ever, every picture once a round."""
    order = generator(seed, "order")
    while True:
        yield from torch.randperm(count, generator=order)[: count // BATCH * BATCH].split(BATCH)


def vary(pixels: Tensor, draw: torch.Generator) -> Tensor:
    """Mirror and turn a batch of pictures in [0, 1], and vary each one's exposure and colour a little."""
    if torch.rand((), generator=draw) < 0.5:
        pixels = pixels.flip(-1)
    pixels = torch.rot90(pixels, int(torch.randint(0, 4, (), generator=draw)), (-2, -1)).contiguous()
    tint = torch.exp(0.15 * torch.randn(len(pixels), 3, 1, 1, generator=draw))
    fade = 1 - 0.12 * torch.rand(len(pixels), 1, 1, 1, generator=draw)
    return pixels**tint * fade


def rate(step: int, steps: int) -> float:
    """Return the learning rate of a step: linear warm-up, then half a cosine."""
    return RATE * min(1.0, (step + 1) / WARM_UP) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def pretrain(clip: CLIP, tokens: Tensor, pool: Pool, steps: int, seed: int, keep: Path | None = None) -> None:
    """Train `clip` in place on the pool; weights stay float32, matrix products run in bfloat16.

    `keep` receives the weights every 200 steps.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "heads"))
        objective = Objective(clip, pool.pictures[:2048].float() / 255, pool.attributes[:8192], WEIGHTS)
    parameters = [*clip.parameters(), *objective.parameters()]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.05},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.98))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    draw = generator(seed, "augment")
    start = time.monotonic()
    clip.visual.output_tokens = True
    for step, chosen in zip(range(steps), draws(len(pool.captions), seed), strict=False):
        for group in optimiser.param_groups:
            group["lr"] = rate(step, steps)
        pixels = vary(pool.pictures[chosen].float() / 255, draw)
        # On CPUs the fused bfloat16 attention is slower backwards than the plain one for this few tokens.
        with sdpa_kernel(SDPBackend.MATH), torch.autocast("cpu", dtype=torch.bfloat16):
            losses = objective(clip, (pixels - mean) / std, pixels, pool.attributes[chosen], tokens[chosen])
            optimiser.zero_grad()
            losses["total"].backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        if step % 25 == 24 or step + 1 == steps:
            shown = "  ".join(f"{name} {loss.item():.3f}" for name, loss in losses.items())
            print(f"step {step + 1}/{steps}  {time.monotonic() - start:.0f} s  {shown}", flush=True)
        if keep is not None and step % 200 == 199:
            write_weights(clip, keep)
    clip.visual.output_tokens = False


def write_weights(clip: CLIP, path: Path) -> None:
    """Write the weights as float16 safetensors."""
    with torch.no_grad():
        clip.logit_scale.clamp_(max=math.log(50))
    write_atomically(path, save({name: value.half().contiguous() for name, value in clip.state_dict().items()}))


def main() -> None:
    """Paint the pool, or read one painted before, then pretrain and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--chunks", type=int, default=CHUNKS, help="pictures painted, in chunks of 256")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--workers", type=int, default=2, help="processes that paint; changes nothing but the time")
    parser.add_argument("--threads", type=int, default=1, help="of training; sums, and so the last bits, depend on it")
    parser.add_argument("--pool", type=Path, help="file that keeps the painted pictures between runs")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    begin = time.monotonic()
    if chosen.pool is not None and chosen.pool.exists():
        pool = Pool(*torch.load(chosen.pool))
    else:
        pool = paint_pool(chosen.chunks, chosen.seed, chosen.workers)
        if chosen.pool is not None:
            torch.save((pool.pictures, pool.attributes, pool.captions), chosen.pool)
    print(f"{len(pool.captions)} pictures after {time.monotonic() - begin:.0f} s", flush=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(chosen.seed, "weights"))
        clip, tokenizer = build(model_config())
    pretrain(clip, tokenizer(pool.captions), pool, chosen.steps, chosen.seed, chosen.output)
    write_weights(clip, chosen.output)
    print(f"{chosen.output} written after {time.monotonic() - begin:.0f} s, sha256 {sha256_file(chosen.output)}")
    print("to embed it, let core/embedded/__init__.py say that digest")


if __name__ == "__main__":
    main()
