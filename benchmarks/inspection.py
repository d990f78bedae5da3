"""How fast images are looked at and compared, and what is recognised of pictures that are known to be one.

Draws pictures, saves each as JPEG in `--versions` turned and mirrored versions, looks at all of them with an empty
cache and again with a full one, and finds the look-alikes. Prints images a second, what 100,000 would take, and how
many of the known pairs were found and how many unrelated ones joined. The exit status is 1 where fewer than nine in ten
are found, or any two unrelated pictures are joined.

With `--folder DIR --groups FILE` (columns path and group) it does the same for real images.

Run from the repository's root: ``python -m benchmarks.inspection [--pictures 500] [--side 224] [--threads 2]``.
"""

import argparse
import csv
import resource
import tempfile
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
from PIL import Image

from medforge.client.data.inspection.cache import Cache
from medforge.client.data.inspection.relations import relations
from medforge.client.data.inspection.survey import survey
from medforge.client.data.pixels.files import ImageFiles


def draw(folder: Path, pictures: int, versions: int, side: int) -> tuple[list[Path], list[str]]:
    """Write pictures of blobs, each turned by up to 25° either way; return the files and the picture of each."""
    chance = np.random.default_rng(0)
    rows, columns = np.mgrid[0:side, 0:side] / side
    paths, groups = [], []
    for number in range(pictures):
        canvas = np.full((side, side, 3), chance.uniform(90, 160, 3))
        for _ in range(40):
            y, x, size = chance.uniform(0, 1), chance.uniform(0, 1), chance.uniform(0.02, 0.09)
            blob = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * size**2))
            canvas += blob[..., None] * chance.uniform(-70, 70, 3)
        whole = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
        for version in range(versions):
            path = folder / f"{number}_{version}.jpg"
            turned(whole, chance.uniform(-25, 25), version % 2 == 1).save(path, quality=90)
            paths.append(path)
            groups.append(str(number))
    return paths, groups


def turned(image: Image.Image, degrees: float, mirrored: bool) -> Image.Image:
    """Turn about the centre, cut out what is whole and enlarge it again, as augmentation does."""
    image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else image
    radians = np.deg2rad(degrees)
    inner = int(image.width / (abs(np.cos(radians)) + abs(np.sin(radians))))
    left = (image.width - inner) // 2
    cut = image.rotate(degrees, Image.Resampling.BICUBIC).crop((left, left, left + inner, left + inner))
    return cut.resize(image.size, Image.Resampling.BICUBIC)


def pairs(keys: Iterable[Hashable]) -> int:
    """Count the pairs with equal keys."""
    return sum(count * (count - 1) // 2 for count in Counter(keys).values())


def main(arguments: Sequence[str] | None = None) -> int:
    """Print rates and what was recognised; the exit status is 1 where drawn pictures are not told apart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--versions", type=int, default=4)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--groups", type=Path)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        if options.folder:
            with options.groups.open(encoding="utf-8-sig") as stream:
                known = {row["path"]: row["group"] for row in csv.DictReader(stream)}
            there = {name: group for name, group in known.items() if (options.folder / name).is_file()}
            root, paths, groups = options.folder, [options.folder / name for name in there], list(there.values())
        else:
            paths, groups = draw(root, options.pictures, options.versions, options.side)
        kinds = np.unique([path.parent.name for path in paths], return_inverse=True)[1].astype(np.int64)
        files, cache = ImageFiles(paths, root), Cache(Path(place) / "images.sqlite")
        began = perf_counter()
        seen = survey(files, options.threads, cache)
        first = perf_counter() - began
        survey(files, options.threads, cache)
        again = perf_counter() - began - first
        began = perf_counter()
        found = relations(seen, kinds, options.threads, cache).groups.tolist()
        compared = perf_counter() - began
    many = 100_000 / len(paths)
    both, true, joined = pairs(zip(groups, found, strict=True)), pairs(groups), pairs(found)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{len(paths)} images, {options.threads} threads: looked at {len(paths) / first:.0f}/s (100,000 in "
        f"{first * many:.0f} s), again {len(paths) / again:.0f}/s; compared in {compared:.1f} s; peak {memory:.0f} MiB"
    )
    print(
        f"{both} of {true} known pairs are in one group ({both / max(true, 1):.3f}); {joined - both} others are joined"
    )
    return 0 if options.folder or (both >= 0.9 * true and joined == both) else 1


if __name__ == "__main__":
    raise SystemExit(main())
