"""Put real training images, changed in several ways, in the place of a workspace's distilled images; what is noticed?

Every row is one kind of leak: the distilled dataset is replaced as a whole, and the egress gate's comparisons say how
many of its images are near copies under the built-in limits, and how close they come (1 is typical between real
images). The first row is the honest branch; one near copy is enough for a refusal.

Run from the repository's root: ``python -m benchmarks.egress_gate --workspace DIR [--threads N] [--json OUT]``, where
DIR holds a committed branch and its images are still in their place.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.functional import rotate

from medforge.branch import Branch
from medforge.client.audit.gallery import survey
from medforge.client.audit.near_copies import IDENTICAL, Comparison, by_features, by_layout
from medforge.client.audit.policy import SitePolicy
from medforge.client.embeddings import embed_task
from medforge.client.work import Work
from medforge.client.workspace import Workspace
from medforge.errors import MedForgeError
from medforge.progress import Progress
from medforge.seeds import generator

NOISE = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
SHARES = (0.8, 0.7, 0.6, 0.5, 0.4, 0.3)


def leaks(real: Tensor, honest: Tensor, seed: int) -> Iterator[tuple[str, Tensor]]:
    """Name every leak and give its images, from real and honest distilled ones, uint8 [n, 3, S, S]."""
    pixels, size = real.float(), real.shape[-1]
    noise = 255 * torch.randn(pixels.shape, generator=generator(seed, "egress benchmark", "noise"))
    blurred = F.interpolate(F.avg_pool2d(pixels, size // 16), size=size, mode="bilinear")
    margin = size // 16
    zoomed = F.interpolate(pixels[:, :, margin:-margin, margin:-margin], size=size, mode="bilinear")
    half = torch.cat([pixels[..., : size // 2], honest.float()[..., size // 2 :]], dim=3)
    yield "honest", honest
    yield "copies", real
    yield "one copy among honest ones", torch.cat([real[:1], honest[1:]])
    yield from ((f"copies, noise {part:g} of the range", _pixels(pixels + part * noise)) for part in NOISE)
    yield "copies, 30 % darker", _pixels(0.7 * pixels)
    yield "copies, half the contrast", _pixels(128 + 0.5 * (pixels - 128))
    yield "copies, mirrored and turned", torch.rot90(real, 1, (2, 3)).flip(3)
    yield "copies, blurred to 16 × 16", _pixels(blurred)
    yield from (
        (f"{part:g} copy, {1 - part:.1f} honest", _pixels(part * pixels + (1 - part) * honest)) for part in SHARES
    )
    yield "copies, shifted by 1/32", torch.roll(real, (size // 32, size // 32), (2, 3))
    yield "copies, shifted by 1/16", torch.roll(real, (size // 16, size // 16), (2, 3))
    yield "copies, zoomed by 1/7", _pixels(zoomed)
    yield "copies, turned by 10°", rotate(real, 10.0)
    yield "left halves copied", _pixels(half)


def measure(workspace: Workspace) -> list[dict[str, object]]:
    """Compare every leak with the workspace's real images; nothing is written into the workspace."""
    work = Work(workspace)
    branch, base, seed = Branch.load(workspace.branch), work.base, work.settings.seed
    seen = embed_task(base, work.task)
    with Progress("looking at real images", len(work.task.train) + len(work.task.validation)) as bar:
        gallery = survey(base, work.task, branch.plugin, seen, bar)
    honest = branch.distilled.pixels(base.mean, base.std)
    chosen = torch.randperm(len(work.task.train), generator=generator(seed, "egress benchmark", "images"))
    real, rows = work.task.train.images[chosen[: len(honest)]], []
    for name, images in leaks(real, honest, seed):
        layout = by_layout(gallery, images, seed)
        features = by_features(gallery, base.embed_all(base.normalise(images)).cpu(), seed)
        close = _close(layout, SitePolicy().layout_distance), _close(features, SitePolicy().feature_distance)
        rows.append(
            {
                "leak": name,
                "images": len(images),
                "near_copies": int((close[0] | close[1]).sum()),
                "by_layout": int(close[0].sum()),
                "by_features": int(close[1].sum()),
                "closest_layout": float(layout.relative.min()),
                "median_layout": float(layout.relative.median()),
                "closest_features": float(features.relative.min()),
                "median_features": float(features.relative.median()),
            }
        )
    return rows


def _close(found: Comparison, share: float) -> Tensor:
    return found.found.distance <= max(IDENTICAL, share * found.typical)


def _pixels(values: Tensor) -> Tensor:
    return values.clamp(0, 255).round().to(torch.uint8)


def _show(rows: list[dict[str, object]]) -> None:
    table = Table("leak", "near copies", "by layout", "by features", "closest, median (layout)", "(features)")
    for row in rows:
        table.add_row(
            str(row["leak"]), f"{row['near_copies']} of {row['images']}",
            str(row["by_layout"]), str(row["by_features"]),
            f"{row['closest_layout']:.2f}, {row['median_layout']:.2f}",
            f"{row['closest_features']:.2f}, {row['median_features']:.2f}",
        )  # fmt: skip
    Console().print(table)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        rows = measure(Workspace(options.workspace))
    except MedForgeError as error:
        sys.exit(str(error))
    _show(rows)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
