r"""What pictures show: attributes by a probe with its confusion undone, the way between groups, diversity, distance.

*Shares.* A classifier of the eight classes, on features of a network that was trained on photographs, is wrong now and
then: observed frequencies are ``q = C's``, with C its confusion on held-out faces. The shares s on the simplex minimise
``|C's - q|^2``; intervals are bootstrapped over pictures and over the held-out faces.

*Way.* Position on the discriminant axis of the two groups, 0 and 1 at their means: ``middle`` is the share between 1/3
and 2/3; ``bimodality`` is Sarle's ``(skewness^2 + 1) / kurtosis``, 5/9 for a uniform law, 1 for two points.

*Vendi score.* ``exp`` of the entropy of the eigenvalues of ``K / n``, K the cosines of features: an effective number of
different pictures. *Frechet distance* in the first 32 principal components, *precision and recall* by third neighbours
(Kynkaanniemi et al. 2019), all against held-out faces of the target.
"""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from scipy import linalg, spatial, stats

from sfbench.data.judges import image_features
from solvers import SimplexQP, solve

from .data import CLASSES, CROSSED, GROUPS, Faces

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
    axis : discriminant of the two groups
    held_out : features of held-out faces, their classes, and what the probe says of them
    target : features of held-out faces of the target
    """

    probe: Any
    axis: Any
    ends: tuple[float, float]
    components: Any
    held_out: tuple[Numbers, Numbers]
    target: Numbers

    @classmethod
    def learn(cls, train: Faces, held_out: Faces, per_class: int) -> "Judge":
        """From the first faces of every class."""
        from sklearn.decomposition import PCA
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        def some(faces: Faces, n: int) -> tuple[Numbers, Numbers]:
            rows = np.concatenate([np.flatnonzero(faces.labels == c)[:n] for c in range(len(CLASSES))])
            return features_of(faces.x[rows]), faces.labels[rows]

        (a, labels), (b, truth) = some(train, per_class), some(held_out, max(8, per_class // 2))
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=300)).fit(a, labels)
        first, second = (CLASSES.index(name) for name in GROUPS)
        both = np.isin(labels, [first, second])
        axis = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(a[both], labels[both] == second)
        ends = tuple(float(axis.decision_function(b[truth == c]).mean()) for c in (first, second))
        components = make_pipeline(StandardScaler(), PCA(min(_COMPONENTS, len(a) - 1), random_state=0)).fit(a)
        target = np.isin(truth, [CLASSES.index(name) for name in GROUPS + CROSSED])
        return cls(probe, axis, ends, components, (probe.predict(b), truth), b[target])  # type: ignore[arg-type]

    @property
    def accuracy(self) -> float:
        """Of the probe, on held-out faces."""
        said, truth = self.held_out
        return float((said == truth).mean())

    def describe(self, features: Numbers, rng: np.random.Generator) -> dict[str, Any]:
        """Everything above, of one set of pictures; pairs are 90 % intervals."""
        said, n = self.probe.predict(features), len(features)
        shares = _shares(said, *self.held_out)
        drawn, place = [], self.axis.decision_function(features)
        place = (place - self.ends[0]) / (self.ends[1] - self.ends[0])
        middle = (place > 1 / 3) & (place < 2 / 3)
        for _ in range(_RESAMPLINGS):
            rows, own = rng.integers(n, size=n), rng.integers(len(self.held_out[0]), size=len(self.held_out[0]))
            values = _shares(said[rows], *(part[own] for part in self.held_out))
            drawn.append([*values.values(), middle[rows].mean(), _bimodality(place[rows])])
        low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
        found: dict[str, Any] = {}
        for i, (name, value) in enumerate(
            (shares | {"middle": middle.mean(), "bimodality": _bimodality(place)}).items()
        ):
            found |= {name: float(value), f"{name}_low": float(low[i]), f"{name}_high": float(high[i])}
        flat, target = self.components.transform(features), self.components.transform(self.target)
        precision, recall = (_covered(*pair) for pair in ((target, flat), (flat, target)))
        distance = _frechet(flat, target)
        return found | {"vendi": _vendi(flat), "frechet": distance, "precision": precision, "recall": recall, "n": n}


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


def _bimodality(place: Numbers) -> float:
    kurtosis = float(stats.kurtosis(place, fisher=False))
    return (float(stats.skew(place)) ** 2 + 1.0) / kurtosis if np.isfinite(kurtosis) and kurtosis > 0 else 1.0


def _vendi(x: Numbers) -> float:
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
