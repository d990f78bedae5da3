"""Maximum likelihood over the simplex: the joint coefficients of a mixture of class probabilities."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FLOOR = 1e-12
_RIDGE = 1e-8
_GAP = 1e-13
_DECREMENT = 1e-20
_STEPS = 100


def simplex_weights(likelihoods: Array, shares: Array) -> Array:
    """Minimise −Σ_i shares_i · log Σ_k w_k likelihoods_ik over w ≥ 0, Σ w = 1; float64 [K].

    ``likelihoods`` [n, K] holds the probability that plugin k gives to image i's label (raised to 1e-12), ``shares``
    [n] the weight of every image. The problem is convex; the solver is a log-barrier Newton method. A ridge of 5e-9 ·
    ‖w‖² settles which optimum is meant where plugins agree on every image: equal weights for equal plugins, whatever
    their order.
    """
    shares = shares / shares.sum()
    # equal plugins are one while it is solved, and all in an order of their own: rounding then depends on neither
    likelihoods, place, copies = np.unique(
        np.maximum(likelihoods, FLOOR), axis=1, return_inverse=True, return_counts=True
    )
    count = likelihoods.shape[1]
    # a row may be scaled freely: it only adds a constant to the objective
    likelihoods = likelihoods / likelihoods.max(axis=1, keepdims=True)
    weights = np.full(count, 1 / count)
    barrier = 1.0
    while count > 1 and barrier * count > _GAP:
        barrier = max(barrier / 10, 0.999 * _GAP / count)
        for _ in range(_STEPS):
            weights, decrement = _newton(weights, likelihoods, shares, _RIDGE / copies, barrier)
            if decrement < _DECREMENT + 1e-6 * barrier:
                break
    # what is left of the barrier, not a weight
    weights = np.where(weights < 1e-10, 0.0, weights)
    rounded: Array = weights / weights.sum() / copies
    return rounded[place.ravel()]


def duality_gap(weights: Array, likelihoods: Array, shares: Array) -> float:
    """Bound the distance to the optimum: max_k Σ_i shares_i · likelihood_ik / mixture_i − 1 (Lindsay 1983)."""
    likelihoods = np.maximum(likelihoods, FLOOR)
    mixture = likelihoods @ weights
    return float((likelihoods.T @ (shares / shares.sum() / mixture)).max() - 1)


def _newton(weights: Array, likelihoods: Array, shares: Array, ridge: Array, barrier: float) -> tuple[Array, float]:
    """Take one damped Newton step on the barrier problem, in coordinates scaled by the weights (affine scaling)."""
    scaled = likelihoods * weights / (likelihoods @ weights)[:, None]
    gradient = ridge * weights**2 - shares @ scaled - barrier
    hessian = (scaled * shares[:, None]).T @ scaled + np.diag(ridge * weights**2 + barrier)
    system = np.zeros((len(weights) + 1, len(weights) + 1))
    system[:-1, :-1], system[:-1, -1], system[-1, :-1] = hessian, weights, weights
    step = np.linalg.solve(system, np.append(-gradient, 0.0))[:-1]
    decrement = float(step @ hessian @ step)
    # relative steps below −1 would leave the simplex; the damping keeps self-concordant descent
    damping = min(1.0, 0.9 / max(float(np.abs(step).max()), 1e-300))
    moved = weights * (1 + damping * step)
    return moved / moved.sum(), decrement
