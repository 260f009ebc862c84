r"""The objective of the weights, from rates: score entropy and masked cross-entropy.

**Score entropy.** With target rates r_q, the KL rate between the jump-path laws of target and fused chain is

    J(w) = int E_{q_t} sum_y [ r_w - r_q + r_q log(r_q / r_w) ] d lambda,        r_w = prod_i r_i^{w_i},

exponentials of linear forms of w less a linear form: convex. From data, ``E_{q_t} r_q(x -> y) g(x, y) =
E_{x_0, x_t} r(x -> y | x_0) g(x, y)``, where ``r(. | x_0)`` are the reverse rates of the noised point mass at x_0. So
with ``r(. | x_0)`` in place of r_q (`denoising score entropy`) J changes by a constant, and bounds the code length:
the mean of ``-log P_w(x_0)`` is at most its value plus boundary terms.

**Cross-entropy** (masked noise). Normalising the geometric mean at a site, ``r = alpha softmax(sum_i w_i log P_i)``, is
averaging logits: ``J = int alpha E sum_{masked l} [ log sum_v prod_i P_i(v)^{w_i} - sum_i w_i log P_i(x_0^l) ]``,
convex too, and never above the score entropy, as ``log z <= z - 1``. Near t = 0, where one site is masked, it is the
pseudo-likelihood of the pool, whose minimiser is exact; score entropy has this property with uniform noise only.

**Times** are drawn evenly in alpha (stratified over all draws): ``d lambda = d alpha / (alpha (1 - alpha))``, and the
mean of the rates falls as that grows, so that every draw weighs about the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
import scipy  # submodules load on first use

from solvers import ExponentialSumObjective, LogPartitionSumObjective
from synthetic.discrete import DiscreteLaw, all_states

from .._internal.aliases import Float64Array
from ..errors import ModelError
from .models import RateModel, checked_posteriors
from .noise import MaskedNoise, States

Objective = Literal["score_entropy", "cross_entropy"]
_LEAST_LOG = -690.0  # stands for log 0 where only some models exclude a jump: its exponential vanishes inside
_BLOCK = 1 << 22  # rates of one model at once


@final
@dataclass(frozen=True, eq=False)
class RateTerms:
    """Terms of the objective at d noised states ("draws"), for k models."""

    log_rates: Float64Array  # (N, k), log r_i of every jump that a model allows
    log_weights: Float64Array  # (N,)
    owner: np.ndarray  # (N,), number of the draw that each belongs to, rising
    linear: Float64Array  # (d, k), weighted sum_y r_q log r_i by draw
    constant: Float64Array  # (d,), weighted sum_y (r_q log r_q - r_q) by draw
    alphabet: int  # rows of one site follow one another with masked noise

    def score_entropy(self) -> ExponentialSumObjective:
        """The convex objective J(w)."""
        return ExponentialSumObjective(self.log_rates, self.log_weights, self.linear.sum(axis=0), self.constant.sum())

    def cross_entropy(self) -> LogPartitionSumObjective:
        """The convex objective of averaged logits; up to the constant of J. Masked noise only."""
        rows = self.log_rates.reshape(-1, self.alphabet, self.log_rates.shape[1])
        return LogPartitionSumObjective(rows, self._site_weights(), self.linear.sum(axis=0))

    def gradients(self, weights: Float64Array, objective: Objective) -> Float64Array:
        """Gradient of the objective by draw, (d, k); its sum is the objective's."""
        if objective == "score_entropy":
            share = np.exp(self.log_weights + self.log_rates @ weights)
        else:
            logs = (self.log_rates @ weights).reshape(-1, self.alphabet)
            share = (scipy.special.softmax(logs, axis=1) * self._site_weights()[:, None]).ravel()
        d, k = self.linear.shape
        means = [np.bincount(self.owner, share * self.log_rates[:, i], d) for i in range(k)]
        return np.stack(means, axis=1) - self.linear

    def _site_weights(self) -> Float64Array:
        """Weights (g,) of masked sites: draw weight times ``alpha``, the total rate of every model there."""
        total = np.exp(self.log_weights[:: self.alphabet])
        logs = self.log_rates.reshape(-1, self.alphabet, self.log_rates.shape[1])[:, :, 0]
        return np.asarray(total * np.exp(logs).sum(axis=1))


def rate_terms(
    models: Sequence[RateModel],
    x: States,
    log_odds: Float64Array,
    target_posteriors: Float64Array,
    draw_weights: Float64Array,
    owner: np.ndarray,
    n_owners: int,
) -> RateTerms:
    """Terms at noised states x (d, L) of log-odds and weights (d,), for posteriors (d, L, S) of the target: one-hot
    clean states for data, exact ones for a population. ``owner`` (d,) numbers the sample that each state comes from,
    in ``0 ... n_owners - 1``, rising.
    """
    noise = models[0].noise
    rows = max(_BLOCK // (x.shape[1] * noise.alphabet), 1)
    parts = []
    for start in range(0, len(x), rows):
        part = slice(start, start + rows)
        at = log_odds[part]
        target = noise.rates(target_posteriors[part], x[part], at)
        found = [checked_posteriors(m, f"models[{i}]", x[part], noise.time_at(at)) for i, m in enumerate(models)]
        rates = np.stack([noise.rates(p, x[part], at) for p in found], axis=-1)  # (d, L, S, k)
        parts.append(_rows(rates, target, draw_weights[part], owner[part], n_owners, isinstance(noise, MaskedNoise)))
    logs, log_weights, owners, linear, constant = zip(*parts, strict=True)
    return RateTerms(
        np.concatenate(logs),
        np.concatenate(log_weights),
        np.concatenate(owners),
        np.sum(linear, axis=0),
        np.sum(constant, axis=0),
        noise.alphabet,
    )


def _rows(
    rates: Float64Array,
    target: Float64Array,
    draw_weights: Float64Array,
    owner: np.ndarray,
    n_owners: int,
    masked: bool,
) -> tuple[Float64Array, Float64Array, np.ndarray, Float64Array, Float64Array]:
    k = rates.shape[-1]
    # Masked sites keep all their values, so that they stay together; elsewhere what no model allows is left out.
    possible = rates.max(axis=-1) > 0
    kept = np.broadcast_to(possible.any(axis=2, keepdims=True), possible.shape) if masked else possible
    missed = np.argwhere((target > 0)[..., None] & (rates <= 0))
    if len(missed):
        _, site, value, model = (int(i) for i in missed[0])
        raise ModelError(
            f"models[{model}] gives probability zero to a jump that the data make (site {site} to value {value}), so "
            "every weight on it has an infinite objective; mix it with a little uniform noise, or leave it out"
        )
    with np.errstate(divide="ignore"):
        logs: Float64Array = np.maximum(np.log(rates[kept]), _LEAST_LOG)  # (N, k)
        entropy = np.where(target > 0, target * np.log(np.where(target > 0, target, 1.0)) - target, 0.0)
    index = np.nonzero(kept)[0]
    weighted = target[kept] * draw_weights[index]
    linear: Float64Array = np.stack(
        [np.bincount(owner[index], weighted * logs[:, i], n_owners) for i in range(k)], axis=1
    )
    constant = np.bincount(owner, draw_weights * entropy.sum(axis=(1, 2)), n_owners).astype(np.float64)
    log_weights: Float64Array = np.log(draw_weights)[index]
    return logs, log_weights, owner[index], linear, constant


def data_terms(
    models: Sequence[RateModel], x: States, window: tuple[float, float], n_times: int, rng: np.random.Generator
) -> RateTerms:
    """Terms of clean data x (n, L), each noised ``n_times`` times at log-odds within the window (low, high)."""
    noise, n = models[0].noise, len(x)
    count = n * n_times
    low, high = scipy.special.expit(window[0]), scipy.special.expit(window[1])
    level = (rng.permutation(count) + rng.random(count)) / count
    alpha = low + (high - low) * level
    log_odds = scipy.special.logit(alpha)
    owner = np.repeat(np.arange(n), n_times)
    clean = x[owner]
    weights = (high - low) / (alpha * (1.0 - alpha)) / count
    return rate_terms(models, noise.corrupt(clean, log_odds, rng), log_odds, noise.onehot(clean), weights, owner, n)


def population_terms(
    models: Sequence[RateModel], target: DiscreteLaw, window: tuple[float, float], n_nodes: int = 48
) -> RateTerms:
    """Terms of the exact objective of a target: every noised state at Gauss-Legendre nodes in the log-odds.

    The target must give every state positive probability.
    """
    noise = models[0].noise
    x = all_states(noise.symbols, target.length)
    nodes, weights = np.polynomial.legendre.leggauss(n_nodes)
    half = 0.5 * (window[1] - window[0])
    log_odds = np.repeat(window[0] + half * (nodes + 1.0), len(x))
    states = np.tile(x, (n_nodes, 1))
    log_q, posteriors = target.infer(noise.evidence(states, log_odds))
    chance = np.repeat(half * weights, len(x)) * np.exp(log_q)
    return rate_terms(models, states, log_odds, posteriors, chance, np.repeat(np.arange(n_nodes), len(x)), n_nodes)
