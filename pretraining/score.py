"""Score a base on real images: linear probe and plugin training, random weights of the same architecture beside it.

Run `python -m pretraining.score --data FOLDER` from the repository's root. Real images are scored only; none is ever
used to pretrain. C of the probe and the plugin's best epoch are chosen on validation; add `--test` to see the test
split too, which no choice may look at.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medforge.base import BaseModule
from medforge.client.data.catalogue import open_task
from medforge.client.data.task import Split, Task
from medforge.client.evaluate import score_plugin
from medforge.client.recipes import TINY
from medforge.client.train import train
from medforge.embedded import build, load_embedded, model_config, preprocessing

SOURCES: dict[str, str] = {
    "lung": "lc25000-lung:{}/lc25000/lung_colon_image_set",
    "colon": "lc25000-colon:{}/lc25000/lung_colon_image_set",
    "brain": "folder:{}/brain_mri",
    "chest": "medmnist:{}/medmnist/pneumoniamnist.npz",
}
STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1)  # of the probe: scikit-learn's C


def embedded_base(random: int | None = None) -> BaseModule:
    """Return the embedded base, or the same architecture with random weights of the given seed."""
    if random is None:
        clip, tokenizer, card = load_embedded()
    else:
        config = model_config()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(random)
            clip, tokenizer = build(config)
        card = preprocessing(config)
        clip.eval()
    return BaseModule(clip, tokenizer, "medforge-tiny", card["model"], card["mean"], card["std"], "cpu", "fp32")


def embed(base: BaseModule, split: Split) -> NDArray[np.float32]:
    """Return the image embeddings of a split, float32 [n, d], before normalisation to unit length."""
    with torch.inference_mode():
        parts = [base.embed(base.normalise(split.images[start : start + 128])) for start in range(0, len(split), 128)]
    features: NDArray[np.float32] = torch.cat(parts).numpy()
    return features


def probe(base: BaseModule, task: Task) -> tuple[float, float]:
    """Return validation and test accuracy of a logistic regression on standardised embeddings, fitted on train."""
    features = {name: embed(base, split) for name, split in task.splits.items()}
    labels = {name: split.labels.numpy() for name, split in task.splits.items()}
    results = []
    for strength in STRENGTHS:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=500))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(features["train"], labels["train"])
        results.append(
            (model.score(features["validation"], labels["validation"]), model.score(features["test"], labels["test"]))
        )
    return max(results, key=lambda pair: float(pair[0]))


def tuned(base: BaseModule, task: Task, seed: int) -> tuple[float, float]:
    """Return validation and test accuracy of a plugin trained with the `tiny` recipe."""
    trained = train(base, task, TINY.train, seed)
    return trained.best.acc, score_plugin(trained.plugin, base, task, "test").acc


def main() -> None:
    """Print one line per task."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="folder of the real images (see SOURCES)")
    parser.add_argument("--tasks", nargs="+", default=list(SOURCES), choices=list(SOURCES))
    parser.add_argument("--random", type=int, help="score random weights of this seed instead")
    parser.add_argument("--plugin", action="store_true", help="train a plugin too")
    parser.add_argument("--test", action="store_true", help="show the test split's score")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of the splits and the plugins' training")
    chosen = parser.parse_args()
    base = embedded_base(chosen.random)
    for name in chosen.tasks:
        place = SOURCES[name].format(Path(chosen.data).expanduser())
        tasks = [(seed, open_task(place, base.preprocessing, seed)) for seed in chosen.seeds]
        show(name, "probe", [probe(base, task) for _, task in tasks], chosen.test)
        if chosen.plugin:
            show(name, "plugin", [tuned(base, task, seed) for seed, task in tasks], chosen.test)


def show(name: str, what: str, scores: list[tuple[float, float]], test: bool) -> None:
    """Print the mean and standard deviation over the seeds; the test split's only when asked for."""
    means, spreads = np.mean(scores, axis=0), np.std(scores, axis=0)
    shown = f"  test {means[1]:.3f} ± {spreads[1]:.3f}" if test else ""
    print(f"{name:6s} {what:7s} validation {means[0]:.3f} ± {spreads[0]:.3f}{shown}  ({len(scores)} seeds)", flush=True)


if __name__ == "__main__":
    main()
