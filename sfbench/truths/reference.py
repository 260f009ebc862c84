r"""Reference draws of the laws of a problem, and what tests between them can tell.

For laws A and B the bounded ratio ``f = (p_A - p_B) / (p_A + p_B) = tanh(log(p_A / p_B) / 2)`` separates them almost as
well as the log ratio and needs no moments. ``TV(A, B) = E_{(A+B)/2} |f|``, and the test of A that rejects where the
mean of f over n points misses ``E_A f`` by more than ``z`` standard errors has power, if B is true,

    Phi( (|E_A f - E_B f| sqrt(n) - z s_A) / s_B ).
"""

import functools
import itertools
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import scipy  # submodules load on first use

from synthetic import Estimate

from .._internal.aliases import Float64Array
from .truth import Truth, get_truth

N_REFERENCE = 100_000
_FEWER = 40_000  # above four coordinates
_SMALLEST_SPREAD = 1e-9
_SEED = 20_406  # of reference draws, apart from any that is likely to be given


@final
@dataclass(frozen=True, eq=False)
class Reference:
    """Draws of every law and the log densities of all laws there."""

    names: tuple[str, ...]
    draws: dict[str, Any]  # (N, rank), by law
    log_p: dict[str, Float64Array]  # (L, N), of the laws in the order of names, at the draws of one of them

    def contrast(self, a: str, b: str, log_p: Float64Array) -> Float64Array:
        """f of laws a and b at points with these log densities (L, n), shape (n,)."""
        return np.asarray(np.tanh(0.5 * (log_p[self.names.index(a)] - log_p[self.names.index(b)])))

    def total_variation(self, a: str, b: str) -> Estimate:
        """Total variation of two of the laws."""
        terms = [np.abs(self.contrast(a, b, self.log_p[law])) for law in (a, b)]
        n = len(terms[0])
        error = 0.5 * float(np.sqrt(sum(term.var() / n for term in terms)))
        return Estimate(0.5 * float(terms[0].mean() + terms[1].mean()), error, 2 * n, "bounded ratio at draws")

    def power(self, a: str, b: str, n: float, level: float) -> float:
        """Chance that the two-sided test of a at a level rejects n points of b."""
        at_a, at_b = (self.contrast(a, b, self.log_p[law]) for law in (a, b))
        gap = abs(float(at_a.mean() - at_b.mean()))
        share = np.sqrt(1.0 / n + 1.0 / len(at_a))
        z = float(scipy.stats.norm.isf(0.5 * level))
        s_a, s_b = (max(float(f.std()), _SMALLEST_SPREAD) for f in (at_a, at_b))  # of one law twice: chance `level`
        return float(scipy.stats.norm.cdf((gap / share - z * s_a) / s_b))


def evaluate(truth: Truth, y: Any) -> Float64Array:
    """Log densities (L, n) of the laws at points (n, rank); no lower than -1e4, so that differences are numbers."""
    return np.stack([np.maximum(np.asarray(law.log_prob(y), np.float64), -1e4) for law in truth.laws.values()])


@functools.lru_cache(maxsize=8)
def get_reference(name: str) -> Reference:
    """Reference draws of a named problem, always the same."""
    truth = get_truth(name)
    n = N_REFERENCE if truth.rank <= 4 else _FEWER
    seeds = {law: np.random.SeedSequence([_SEED, i]) for i, law in enumerate(sorted(truth.laws))}
    draws = {law: truth.laws[law].sample(n, rng=seed) for law, seed in seeds.items()}
    return Reference(tuple(truth.laws), draws, {law: evaluate(truth, y) for law, y in draws.items()})


def pairs(truth: Truth) -> list[tuple[str, str]]:
    """Pairs of the laws, each once."""
    return list(itertools.combinations(truth.laws, 2))
