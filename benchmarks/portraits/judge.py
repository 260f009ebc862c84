r"""What pictures show: attributes by a probe with its confusion undone, the way between groups, diversity, distance.

*Shares.* A classifier of the eight classes (:mod:`benchmarks.portraits.probe`) is wrong now and then: observed
frequencies are ``q = C's``, with C its confusion on held-out faces. The shares s on the simplex minimise
``|C's - q|^2``; intervals are bootstrapped over pictures and over the held-out faces.

*Way.* Position on the discriminant axis of the two groups in the features of the probe, 0 and 1 at their means:
``middle`` is the share between 1/4 and 3/4; ``bimodality`` is Sarle's ``(skewness^2 + 1) / kurtosis``, 5/9 for a
uniform law, 1 for two points.

On the first pictures only, in features of a network that was trained on photographs: *Vendi score*, ``exp`` of the
entropy of the eigenvalues of ``K / n``, K the cosines of features: an effective number of different pictures; *Frechet
distance* in the first 32 principal components, *precision and recall* by third neighbours (Kynkaanniemi et al. 2019),
against held-out faces of the target.
"""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from scipy import linalg, spatial, stats

from sfbench.data.judges import image_features
from solvers import SimplexQP, solve

from .data import CLASSES, CROSSED, GROUPS, Faces
from .probe import look

_COMPONENTS, _NEIGHBOURS, _RESAMPLINGS = 32, 3, 200
Numbers = np.ndarray


def features_of(x: np.ndarray) -> Numbers:
    """Features (n, 1280) of pictures (n, 3, h, w) in [0, 1]."""
    levels = np.round(255.0 * np.clip(x, 0.0, 1.0)).transpose(0, 2, 3, 1)
    return image_features(levels.reshape(len(x), -1), levels.shape[1:])


@final
@dataclass(frozen=True, eq=False)
class Judge:
    """Everything that is learned from real faces.

    Attributes
    ----------
    probe : classifier of the eight classes
    axis : discriminant of the two groups, and the means of the groups on it
    components : of features of photographs
    held_out : classes of held-out faces, and what the probe says of them
    target : components of held-out faces of the target, half of them crossed
    """

    probe: Any
    axis: tuple[Any, float, float]
    components: Any
    held_out: tuple[Numbers, Numbers]
    target: Numbers

    @classmethod
    def learn(cls, probe: Any, train: Faces, held_out: Faces, encoded: int) -> "Judge":
        """From faces to train on, and held-out ones."""
        from sklearn.decomposition import PCA
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        first, second = (CLASSES.index(name) for name in GROUPS)
        features, both = look(probe, train.x)[1], np.isin(train.labels, [first, second])
        discriminant = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
        discriminant.fit(features[both], train.labels[both] == second)
        said, features = look(probe, held_out.x)
        low, high = (
            float(discriminant.decision_function(features[held_out.labels == c]).mean()) for c in (first, second)
        )
        target = np.concatenate([held_out.of(name)[: encoded // 4] for name in GROUPS + CROSSED])
        flat = features_of(target)
        components = make_pipeline(StandardScaler(), PCA(min(_COMPONENTS, len(flat) - 1), random_state=0)).fit(flat)
        axis, truth = (discriminant, low, high), np.asarray(held_out.labels)
        return cls(probe, axis, components, (said, truth), components.transform(flat))

    @property
    def accuracy(self) -> float:
        """Of the probe, on held-out faces."""
        said, truth = self.held_out
        return float((said == truth).mean())

    def describe(self, x: Numbers, encoded: Numbers, rng: np.random.Generator) -> dict[str, Any]:
        """Everything above, of pictures (n, 3, 32, 32) and features of the first; pairs are 90 % intervals."""
        (said, features), n = look(self.probe, x), len(x)
        discriminant, low_end, high_end = self.axis
        place = (discriminant.decision_function(features) - low_end) / (high_end - low_end)
        middle = (place > 1 / 4) & (place < 3 / 4)
        drawn = []
        for _ in range(_RESAMPLINGS):
            rows, own = rng.integers(n, size=n), rng.integers(len(self.held_out[0]), size=len(self.held_out[0]))
            values = _shares(said[rows], *(part[own] for part in self.held_out))
            drawn.append([*values.values(), middle[rows].mean(), bimodality(place[rows])])
        low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
        found: dict[str, Any] = {}
        told = _shares(said, *self.held_out) | {"middle": middle.mean(), "bimodality": bimodality(place)}
        for i, (name, value) in enumerate(told.items()):
            found |= {name: float(value), f"{name}_low": float(low[i]), f"{name}_high": float(high[i])}
        flat = self.components.transform(encoded)
        precision, recall = (_covered(*pair) for pair in ((self.target, flat), (flat, self.target)))
        distance = _frechet(flat, self.target)
        return found | {"vendi": vendi(flat), "frechet": distance, "precision": precision, "recall": recall, "n": n}


def _shares(said: Numbers, guesses: Numbers, truth: Numbers) -> dict[str, float]:
    """Shares of the two groups, of what is crossed, and of the other tones, with the probe's confusion undone."""
    k = len(CLASSES)
    confusion = np.full((k, k), 1e-3)  # a class that a resampling left out says nothing
    np.add.at(confusion, (truth, guesses), 1.0)
    confusion /= confusion.sum(axis=1, keepdims=True)
    observed = np.bincount(said, minlength=k) / len(said)
    s = solve(SimplexQP(2 * confusion @ confusion.T, -2 * confusion @ observed, float(observed @ observed))).weights
    by_name = dict(zip(CLASSES, s.tolist(), strict=True))
    crossed = sum(by_name[name] for name in CROSSED)
    first, second = (by_name[name] for name in GROUPS)
    return {"first": first, "second": second, "crossed": crossed, "other": 1.0 - first - second - crossed}


def bimodality(place: Numbers) -> float:
    """Sarle's coefficient of numbers (n,); 1, as of two points, where there is no spread."""
    if np.ptp(place) == 0.0:
        return 1.0
    kurtosis = float(stats.kurtosis(place, fisher=False))
    return (float(stats.skew(place)) ** 2 + 1.0) / kurtosis if np.isfinite(kurtosis) and kurtosis > 0 else 1.0


def vendi(x: Numbers) -> float:
    """Effective number of different rows (n, d)."""
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    values = np.clip(np.linalg.svd(unit, compute_uv=False) ** 2 / len(x), 1e-300, None)
    return float(np.exp(-(values * np.log(values)).sum()))


def _frechet(x: Numbers, y: Numbers) -> float:
    a, b = np.cov(x.T), np.cov(y.T)
    root = linalg.sqrtm(a @ b).real
    return float(np.sum((x.mean(axis=0) - y.mean(axis=0)) ** 2) + np.trace(a + b - 2 * root))


def _covered(reference: Numbers, points: Numbers) -> float:
    """Share of points that lie within the third-neighbour distance of a reference point."""
    inside = spatial.distance.cdist(reference, reference)
    radius = np.sort(inside, axis=1)[:, min(_NEIGHBOURS, len(reference) - 1)]
    return float((spatial.distance.cdist(points, reference) <= radius).any(axis=1).mean())
