r"""Rate models: what is known of a discrete diffusion model, exact ones, and their fusion.

A model says for every site of a noised state what it held, ``P(x_0^l = v | x_t)`` (denoising posteriors: what masked
language models and D3PM networks predict); :mod:`sfbench.discrete.noise` turns these into ratios and reverse rates r_i.

- **Fused rates** ``r_w = prod_i r_i^{w_i}``: the pointwise minimiser of ``sum_i w_i KL`` between jump-path laws.
- **Mean rates** ``A_w = sum_i w_i R_i``, ``R_i`` the total rate of model i. ``V = A_w - R_w >= 0``, R_w the total of
  r_w, is the rate at which particles driven by r_w must lose weight to follow the KL barycenter.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, final

import numpy as np
from numpy.typing import ArrayLike

from synthetic.discrete import DiscreteLaw
from synthetic.discrete.law import numbers_of

from .._internal.aliases import Float64Array
from .._internal.validation import as_items, as_weights
from ..errors import ModelError, NotFiniteError, ProcessMismatchError
from .noise import DiscreteNoise, MaskedNoise, States

_SUM = 1e-4  # largest distance of a posterior's sum from 1: float32 softmax over many values passes


class RateModel(Protocol):
    """A discrete diffusion model by its denoising posteriors."""

    @property
    def noise(self) -> DiscreteNoise:
        """The noising process it was made for."""

    @property
    def length(self) -> int:
        """Number of sites, L."""

    def posteriors(self, x: States, t: ArrayLike) -> Float64Array:
        """``P(x_0^l = v | x_t = x)`` at noised states x (n, L) and times () or (n,), shape (n, L, S).

        With masked noise, what it says about sites that are not masked is ignored.
        """


@final
@dataclass(frozen=True, eq=False)
class ExactRates:
    """The rates of a law, by inference: enumeration or forward-backward recursion; equal states are inferred once."""

    law: DiscreteLaw
    noise: DiscreteNoise

    def __post_init__(self) -> None:
        if not hasattr(self.law, "infer"):
            raise ModelError(f"law must be a law on a product space with infer(), got a {type(self.law).__name__}")
        if self.law.alphabet != self.noise.alphabet:
            raise ModelError(f"the law has {self.law.alphabet} values a site, the noise {self.noise.alphabet}")

    @property
    def length(self) -> int:
        """Number of sites, L."""
        return self.law.length

    def posteriors(self, x: States, t: ArrayLike) -> Float64Array:
        """Exact posteriors (n, L, S)."""
        at = self.noise.log_odds(t)
        if isinstance(self.noise, MaskedNoise):  # what is known of the sites does not depend on the time
            at = np.zeros(())
        if at.ndim or self.noise.symbols**self.length >= 1 << 62:  # states have no numbers
            return self.law.infer(self.noise.evidence(x, at))[1]
        _, first, where = np.unique(numbers_of(x, self.noise.symbols), return_index=True, return_inverse=True)
        return np.asarray(self.law.infer(self.noise.evidence(x[first], at))[1][where])

    def log_prob(self, x: States, t: ArrayLike) -> Float64Array:
        """``log p_t`` of noised states x (n, L), shape (n,)."""
        return self.law.infer(self.noise.evidence(x, self.noise.log_odds(t)))[0]


@final
@dataclass(frozen=True, eq=False)
class RatiosAsRates:
    """A model that predicts ratios ``p_t(y) / p_t(x)`` (concrete scores), as a rate model.

    Parameters
    ----------
    predict : callable
        ``predict(x, t)`` with x (n, L) and t of shape () or (n,): positive ratios (n, L, S) for the value v at site l.
    noise : DiscreteNoise
    length : int

    Notes
    -----
    Ratios of a network belong to no law exactly. The posteriors nearest to them are taken: negative ones are set to
    zero, the rest is normalised.
    """

    predict: Callable[[States, ArrayLike], Any]
    noise: DiscreteNoise
    length: int

    def posteriors(self, x: States, t: ArrayLike) -> Float64Array:
        """Posteriors (n, L, S) of the ratios."""
        ratios = np.asarray(self.predict(x, t), dtype=np.float64)
        if ratios.shape != (*x.shape, self.noise.alphabet):
            raise ModelError(f"predict must return shape {(*x.shape, self.noise.alphabet)}, got {ratios.shape}")
        found = np.maximum(self.noise.posteriors(ratios, x, self.noise.log_odds(t)), 0.0)
        total = found.sum(axis=-1, keepdims=True)
        if not np.all(total > 0):
            raise NotFiniteError(
                "predict returned ratios without a positive posterior; they must be finite and positive"
            )
        return np.asarray(found / total)


@final
@dataclass(frozen=True, eq=False)
class Rates:
    """Rates at some states, per unit of log-odds."""

    each: Float64Array  # (a, n, L, S), of the models of positive weight
    fused: Float64Array  # (n, L, S), prod_i r_i^{w_i}
    total: Float64Array  # (n,), R_w
    mean: Float64Array  # (n,), A_w


@final
@dataclass(frozen=True, eq=False)
class FusedRates:
    """Rate models of one noising process and their weights.

    Parameters
    ----------
    models : iterable of RateModel
    weights : array_like (k,)
        Simplex weights; models of weight zero are never evaluated.
    """

    models: tuple[RateModel, ...]
    weights: Float64Array

    def __post_init__(self) -> None:
        models = as_rate_models(self.models)
        object.__setattr__(self, "models", models)
        object.__setattr__(self, "weights", as_weights(self.weights, len(models), ModelError))

    @property
    def noise(self) -> DiscreteNoise:
        """The noising process that all models share."""
        return self.models[0].noise

    @property
    def length(self) -> int:
        """Number of sites, L."""
        return self.models[0].length

    @property
    def active(self) -> np.ndarray:
        """Indices of the models of positive weight."""
        return np.flatnonzero(self.weights)

    def posteriors(self, x: States, log_odds: ArrayLike, only: Iterable[int] | None = None) -> list[Float64Array]:
        """Checked posteriors (n, L, S) of the models of positive weight, or of the given ones."""
        t = self.noise.time_at(log_odds)
        chosen = self.active if only is None else only
        return [checked_posteriors(self.models[i], f"models[{i}]", x, t) for i in chosen]

    def rates(self, x: States, log_odds: ArrayLike) -> Rates:
        """Rates at noised states x (n, L) and log-odds () or (n,)."""
        each = np.stack([self.noise.rates(p, x, log_odds) for p in self.posteriors(x, log_odds)])
        fused = geometric_mean(each, self.weights[self.active])
        mean = self.weights[self.active] @ each.sum(axis=(2, 3))
        return Rates(each, fused, fused.sum(axis=(1, 2)), mean)


def geometric_mean(parts: Float64Array, weights: Float64Array) -> Float64Array:
    """``prod_i parts_i^{w_i}`` over the first axis, weights positive; 0 where a part is 0."""
    with np.errstate(divide="ignore"):
        logs = np.log(parts)
    return np.asarray(np.exp(np.einsum("a,a...->...", weights, logs)))


def as_rate_models(models: Any, noise: DiscreteNoise | None = None) -> tuple[RateModel, ...]:
    """Models of one noising process and length, at least one; laws become exact ones if a noise is given."""
    found: tuple[Any, ...] = as_items("models", models, "rate models", ModelError)
    if not found:
        raise ModelError("models are empty; at least one is needed")
    if noise is not None:
        found = tuple(ExactRates(model, noise) if hasattr(model, "infer") else model for model in found)
    for i, model in enumerate(found):
        if not (isinstance(getattr(model, "noise", None), DiscreteNoise) and hasattr(model, "posteriors")):
            hint = "; give noise= with laws, or ExactRates(law, noise)" if hasattr(model, "infer") else ""
            raise ModelError(f"models[{i}] is a {type(model).__name__} without noise and posteriors(x, t){hint}")
        if model.noise != found[0].noise:
            raise ProcessMismatchError(f"models[{i}] is of {model.noise}, models[0] of {found[0].noise}")
        if model.length != found[0].length:
            raise ModelError(f"models[{i}] has {model.length} sites, models[0] has {found[0].length}")
    return found


def checked_posteriors(model: RateModel, name: str, x: States, t: ArrayLike) -> Float64Array:
    """Posteriors of a foreign model as float64, of the right shape, non-negative and of sum 1."""
    noise = model.noise
    out = np.asarray(model.posteriors(x, t), dtype=np.float64)
    if out.shape != (*x.shape, noise.alphabet):
        raise ModelError(f"{name}.posteriors must return shape {(*x.shape, noise.alphabet)}, got {out.shape}")
    asked = out[x == noise.alphabet] if isinstance(noise, MaskedNoise) else out
    if not len(asked):
        return out
    low, sums = float(asked.min()), asked.sum(axis=-1)
    if not (low >= 0.0 and float(sums.max()) < np.inf):  # NaN fails too
        raise NotFiniteError(f"{name}.posteriors returned {low}; posteriors must be finite and at least 0")
    worst = float(sums.ravel()[np.abs(sums - 1.0).argmax()])
    if abs(worst - 1.0) > _SUM:
        raise ModelError(f"{name}.posteriors must sum to 1 over values, got a sum of {worst:.6g}")
    total = out.sum(axis=-1, keepdims=True)
    return np.asarray(out / np.where(total > 0, total, 1.0))
