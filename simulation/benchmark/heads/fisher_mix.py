"""FisherMix of GH-OFL (Turazza et al., ICLR 2026): a linear head trained on samples drawn from the class Gaussians.

Follows the authors' public code, whose head is linear and plain where the abstract has a cosine margin. What the
paper's numbers were made with is not known beyond that code and its defaults. There 80 epochs of AdamW see 10,000 draws
a class; the loss is convex, and here 60 steps of L-BFGS see 2,000.
"""

from __future__ import annotations

import warnings

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from medforge.seeds import generator
from medforge.simulation.benchmark.heads.gaussian import Head, shrunk
from medforge.simulation.benchmark.heads.moments import Gaussians

ENERGY = 0.99
MOST_DIRECTIONS = 128
SAMPLES = 2_000
SPREAD = 0.75
RIDGE = 1e-6
STEPS = 60
DECAY = 3e-4


def fisher_mix(classes: Gaussians, shrinkage: float, seed: int, samples: int = SAMPLES) -> Head:
    """Train a linear head on ``samples`` draws a class, in the directions in which classes differ most.

    A class is drawn from its own Gaussian in the Fisher subspace, its deviations cut to three quarters as published.
    """
    directions = fisher_directions(classes, shrinkage)
    rows, labels = _drawn(classes, directions, seed, samples)
    # around 0, where an optimiser sees all directions alike
    middle = rows.mean(dim=0)
    weight, bias = _trained(rows - middle, labels)
    there = classes.priors > 0

    def head(x: Tensor) -> Tensor:
        scores = torch.full((len(x), classes.classes), -torch.inf, dtype=torch.float64)
        scores[:, there] = (x.double() @ directions - middle) @ weight + bias
        return scores

    return head


def fisher_directions(classes: Gaussians, shrinkage: float) -> Tensor:
    """Return directions [d, k], float64, that whiten the covariance within classes, the most telling first.

    They are the eigenvectors of the between-class covariance in that metric; k is the least number, at least 2, that
    holds 99 % of its trace.
    """
    values, vectors = torch.linalg.eigh(shrunk(classes.within, shrinkage))
    white = vectors * values.clamp_min(torch.finfo(values.dtype).tiny).rsqrt() @ vectors.T
    centred = (classes.means - classes.priors @ classes.means) * classes.priors.sqrt().unsqueeze(1)
    strengths, basis = torch.linalg.eigh(white @ centred.T @ centred @ white)
    strengths, basis = strengths.flip(0).clamp_min(0), basis.flip(1)
    held = strengths.cumsum(0) / strengths.sum().clamp_min(torch.finfo(strengths.dtype).tiny)
    count = int((held < ENERGY).sum()) + 1
    directions: Tensor = white @ basis[:, : min(max(count, 2), MOST_DIRECTIONS, len(values))]
    return directions


def _drawn(classes: Gaussians, directions: Tensor, seed: int, samples: int) -> tuple[Tensor, Tensor]:
    chance = generator(seed, "heads", "FisherMix", "draws")
    rows, labels = [], []
    for place in range(classes.classes):
        noise = torch.randn(samples, directions.shape[1], generator=chance, dtype=torch.float64)
        if classes.priors[place] > 0:
            spread = directions.T @ classes.covariances[place] @ directions
            lower = torch.linalg.cholesky(SPREAD**2 * spread + RIDGE * torch.eye(len(spread)).double())
            rows.append(classes.means[place] @ directions + noise @ lower.T)
            labels.append(torch.full((samples,), place))
    return torch.cat(rows), torch.cat(labels)


def _trained(rows: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return weight [k, C] and bias [C] of the classes that there are, in their order."""
    model = LogisticRegression(C=1 / (DECAY * len(rows)), max_iter=STEPS)
    with warnings.catch_warnings():
        # what is left to gain is in the probabilities of draws that are told apart already
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(rows.numpy(), labels.numpy())
    weight, bias = torch.from_numpy(model.coef_.T), torch.from_numpy(model.intercept_)
    if weight.shape[1] == 1:
        # of two classes scikit-learn keeps the second one's odds
        weight, bias = torch.cat([-weight / 2, weight / 2], dim=1), torch.cat([-bias / 2, bias / 2])
    return weight.double(), bias.double()
