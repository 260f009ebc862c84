r"""An outside judge of digits: share of sevens with confusion correction, and a digit-FID.

The judge is a small perceptron trained on the auxiliaries' pool; its confusion is measured on the target's pool, which
it never saw. With true and false positive rates (t, f) of "seven", a raw share r of generated images estimates the true
share ``(r - f) / (t - f)``; its standard error joins the binomial error of r and those of t and f. The FID is the
Frechet distance of hidden activations to those of real digits in the target's proportions.
"""

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from sfbench._internal.aliases import Float64Array
from synthetic import Estimate

from .models import NINE, SEVEN, TARGET_SHARE, Pools


@final
@dataclass(frozen=True, eq=False)
class Judge:
    """A trained classifier with its confusion and the features of real digits."""

    model: Any
    true_rate: float
    false_rate: float
    n_confusion: tuple[int, int]
    reference: Float64Array
    top: float

    def share(self, raw: Float64Array, weights: Float64Array | None = None) -> Estimate:
        """Corrected share of sevens among images at raw levels (n, d)."""
        w = np.full(len(raw), 1.0 / len(raw)) if weights is None else weights
        said = self.model.predict(self._inputs(raw)) == SEVEN
        r, effective = float(w @ said), 1.0 / float(w @ w)
        gap = self.true_rate - self.false_rate
        value = (r - self.false_rate) / gap
        spread = [
            r * (1 - r) / effective,
            value**2 * self.true_rate * (1 - self.true_rate) / self.n_confusion[0],
            (1 - value) ** 2 * self.false_rate * (1 - self.false_rate) / self.n_confusion[1],
        ]
        return Estimate(value, float(np.sqrt(sum(spread))) / gap, len(raw), "classifier, confusion corrected")

    def frechet(self, raw: Float64Array) -> float:
        """Frechet distance of the judge's features of raw images (n, d) to those of real digits."""
        found, real = self.features(raw), self.reference
        a, b = np.cov(found.T), np.cov(real.T)
        values, vectors = np.linalg.eigh(a)
        half = vectors * np.sqrt(np.maximum(values, 0.0))  # a = half half', and tr sqrt(a b) = tr sqrt(half' b half)
        root = np.sqrt(np.maximum(np.linalg.eigvalsh(half.T @ b @ half), 0.0)).sum()
        return float(((found.mean(0) - real.mean(0)) ** 2).sum() + np.trace(a + b) - 2.0 * root)

    def features(self, raw: Float64Array) -> Float64Array:
        """Hidden activations (n, h)."""
        hidden = self._inputs(raw) @ self.model.coefs_[0] + self.model.intercepts_[0]
        return np.asarray(np.maximum(hidden, 0.0))

    def _inputs(self, raw: Float64Array) -> Float64Array:
        return np.clip(np.floor(raw), 0, self.top) / self.top


def train_judge(pools: Pools, top: int, seed: int) -> Judge:
    """Train on the auxiliaries' pool, measure on the target's."""
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier((32,), alpha=1e-2, max_iter=60 if top > 16 else 400, random_state=seed, tol=0.0)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sklearn's note that it used all its iterations
        model.fit(pools.train_x / top, pools.train_y)
    said = model.predict(pools.target_x / top) == SEVEN
    seven, nine = pools.target_y == SEVEN, pools.target_y == NINE
    judge = Judge(
        model,
        float(said[seven].mean()),
        float(said[nine].mean()),
        (int(seven.sum()), int(nine.sum())),
        np.empty((0, 0)),
        float(top),
    )
    rng = np.random.default_rng(seed)
    n = int(min(seven.sum() / TARGET_SHARE, nine.sum() / (1 - TARGET_SHARE)))
    chosen = [
        rng.permutation(np.flatnonzero(kind))[: round(n * share)]
        for kind, share in ((seven, TARGET_SHARE), (nine, 1 - TARGET_SHARE))
    ]
    reference = judge.features(pools.target_x[np.concatenate(chosen)])
    return Judge(model, judge.true_rate, judge.false_rate, judge.n_confusion, reference, float(top))
