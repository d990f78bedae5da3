"""FisherMix of GH-OFL (Turazza et al., ICLR 2026): a linear head trained on samples drawn from the class Gaussians.

Follows the authors' public code, whose head is linear and plain where the abstract has a cosine margin. What the
paper's numbers were made with is not known beyond that code and its defaults.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from medforge.seeds import generator
from medforge.simulation.benchmark.heads.gaussian import Head, shrunk
from medforge.simulation.benchmark.heads.moments import Gaussians

ENERGY = 0.99
MOST_DIRECTIONS = 128
SAMPLES = 10_000
SPREAD = 0.75
RIDGE = 1e-6
EPOCHS = 80
BATCH = 2048
RATE = 8e-4
DECAY = 3e-4


def fisher_mix(classes: Gaussians, shrinkage: float, seed: int, samples: int = SAMPLES) -> Head:
    """Train a linear head by AdamW on ``samples`` draws a class, in the directions in which classes differ most.

    A class is drawn from its own Gaussian in the Fisher subspace, its deviations cut to three quarters as published.
    """
    directions = fisher_directions(classes, shrinkage)
    rows, labels = _drawn(classes, directions, seed, samples)
    weight, bias = _trained(rows, labels, classes.classes, seed)
    absent = classes.priors == 0
    return lambda x: ((x.double() @ directions) @ weight + bias).masked_fill(absent, -torch.inf)


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
    return torch.cat(rows).float(), torch.cat(labels)


def _trained(rows: Tensor, labels: Tensor, classes: int, seed: int) -> tuple[Tensor, Tensor]:
    chance = generator(seed, "heads", "FisherMix", "training")
    weight = (torch.randn(rows.shape[1], classes, generator=chance) * 0.01).requires_grad_()
    bias = torch.zeros(classes, requires_grad=True)
    optimiser = torch.optim.AdamW([weight, bias], lr=RATE, weight_decay=DECAY)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(rows), generator=chance).split(BATCH):
            loss = F.cross_entropy(rows[chosen] @ weight + bias, labels[chosen])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
    return weight.detach().double(), bias.detach().double()
