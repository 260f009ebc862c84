r"""Windows of a GARCH process with Student's t: the baseline of the trade for returns.

    r_j = mu + sqrt(v_j) e_j,      v_{j+1} = omega + (alpha + gamma [r_j < mu]) (r_j - mu)^2 + beta v_j,

e standardised Student's t. Parameters are those of maximum likelihood (package ``arch``) on all daily returns before
the target, with or without ``gamma`` by the Bayesian information criterion. A window does not know the variance at its
start, so its density is averaged over levels: quantiles of the variances along the history, equally likely
(:func:`fit_garch`), or as likely as the few windows of the target say (:meth:`GarchLaw.tuned`, expectation
maximisation).
"""

import warnings
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import scipy

LEVELS = 24
_EM_ITERATIONS = 200


@final
@dataclass(frozen=True, eq=False)
class GarchLaw:
    """Law of windows: parameters, levels (q,) of the variance at the start, and how likely they are (q,)."""

    mu: float
    omega: float
    alpha: float
    gamma: float
    beta: float
    nu: float
    levels: np.ndarray
    shares: np.ndarray

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """Log density of windows (n, d), shape (n,)."""
        return np.asarray(scipy.special.logsumexp(self._log_joint(x)[0], axis=1))

    def sample(self, n: int, rng: np.random.Generator, days: int) -> np.ndarray:
        """Windows (n, days)."""
        return self._simulate(rng.choice(self.levels, size=n, p=self.shares), days, rng)

    def forecast(self, given: np.ndarray, days: int, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draws (rows, n, days) of what follows windows (rows, d)."""
        joint, variances = self._log_joint(given)
        posterior = scipy.special.softmax(joint, axis=1)
        chosen = np.stack([rng.choice(len(self.levels), size=n, p=p / p.sum()) for p in posterior])
        start = np.take_along_axis(variances, chosen, axis=1)
        return self._simulate(start.ravel(), days, rng).reshape(len(given), n, days)

    def tuned(self, x: np.ndarray) -> "GarchLaw":
        """The law whose levels are as likely as windows x (n, d) say, with one window's worth of the old ones."""
        with np.errstate(divide="ignore"):
            logs = self._log_joint(x)[0] - np.log(self.shares)
        shares = self.shares
        for _ in range(_EM_ITERATIONS):
            found = scipy.special.softmax(logs + np.log(shares), axis=1).sum(axis=0)
            shares = (found + self.shares) / (len(x) + 1.0)
        return replace(self, shares=shares / shares.sum())

    def _next(self, variance: np.ndarray, shock: np.ndarray) -> np.ndarray:
        return np.asarray(self.omega + (self.alpha + self.gamma * (shock < 0)) * shock**2 + self.beta * variance)

    def _log_joint(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log of share times density (n, q), and the variance of the day after the window (n, q)."""
        variance = np.tile(self.levels, (len(x), 1))
        total = np.tile(np.log(self.shares), (len(x), 1))
        for column in x.T:
            shock = (column - self.mu)[:, None]
            scale = np.sqrt(variance * (self.nu - 2.0) / self.nu)
            total += scipy.stats.t.logpdf(shock / scale, self.nu) - np.log(scale)
            variance = self._next(variance, shock)
        return total, variance

    def _simulate(self, variance: np.ndarray, days: int, rng: np.random.Generator) -> np.ndarray:
        out = np.empty((len(variance), days))
        for j in range(days):
            shock = np.sqrt(variance * (self.nu - 2.0) / self.nu) * rng.standard_t(self.nu, size=len(variance))
            out[:, j] = self.mu + shock
            variance = self._next(variance, shock)
        return out


def fit_garch(history: np.ndarray) -> GarchLaw:
    """Fit to daily returns (n,).

    Raises
    ------
    ImportError
        Without the package ``arch``.
    """
    try:
        from arch import arch_model
    except ImportError:
        raise ImportError("the GARCH baseline needs arch: pip install 'sfbench[series]'") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fits = [
            arch_model(history, mean="Constant", vol="GARCH", p=1, o=o, q=1, dist="t", rescale=False).fit(disp="off")
            for o in (0, 1)
        ]
    best = min(fits, key=lambda fit: float(fit.bic))
    found = {name: float(value) for name, value in best.params.items()}
    levels = np.quantile(np.asarray(best.conditional_volatility) ** 2, (np.arange(LEVELS) + 0.5) / LEVELS)
    return GarchLaw(
        found["mu"],
        found["omega"],
        found["alpha[1]"],
        found.get("gamma[1]", 0.0),
        found["beta[1]"],
        found["nu"],
        levels,
        np.full(LEVELS, 1.0 / LEVELS),
    )
