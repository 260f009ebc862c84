r"""Scores of anyone's samples: how far they lie from each law of a problem, and which of the laws they follow.

**Which law.** Each law A is tested as it is, by

- the mean of ``tanh(log(p_A / p_B) / 2)`` against its mean under A, for every other law B: nearly the best test there
  is of A against B, whose power is known before a point is seen (:mod:`sfbench.truths.reference`);
- Kolmogorov-Smirnov tests of each coordinate and of ``log p_A`` against draws of A: for what is none of the laws;
- what all laws share beyond those coordinates: an isotropic Gaussian of known variance.

The p-value of A is the least of these times their number (Bonferroni), so the law that points do follow is refused with
probability at most ``level``, and

    one law is left: that law      several: "cannot tell"      none: "neither"

Errors of the exact laws themselves (``Truth.errors``) are granted to the tests. **How far** is
:mod:`sfbench.truths.witness`; **where** are the mode masses of :mod:`sfbench.truths.cells`.
"""

import functools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, final

import numpy as np
import scipy  # submodules load on first use
from numpy.typing import ArrayLike

from synthetic import Estimate
from synthetic.torus import wrap

from .._internal.aliases import Float64Array
from .._internal.validation import as_generator, as_number, as_positive
from ..errors import ModelError, SfbenchError
from ..metrics.from_samples import weighted_points
from .cells import find_cells
from .reference import Reference, evaluate, get_reference
from .truth import Truth, get_truth
from .witness import Witness

FEWEST = 100
CONFIDENCE = 1.645  # standard errors on both sides of a 90 % interval


@final
@dataclass(frozen=True, eq=False)
class SampleScore:
    """How a sample stands to the laws of a problem.

    Attributes
    ----------
    problem : str
    n : int
        Points of positive weight.
    effective : float
        How many independent points they are taken to be worth.
    law : str
        ``"fused"``, ``"barycenter"``, ``"mixture"``, ``"target"``, ``"neither"`` or ``"cannot tell"``.
    compatible : tuple of str
        Laws that were not refused.
    p_values : mapping of str to float
        Of every law.
    reasons : mapping of str to str
        The test that speaks most against each law.
    power : mapping of str to float
        Chance that this many points of a law would be told from every other one: the least over the others.
    total_variation, kl : mapping of str to Estimate
        From the sample to each law, in the coordinates in which the laws differ; ``interval(1.645)`` holds 90 %.
    mode_masses : tuple of Estimate
        Share of the mass around each mode of the barycenter.
    mode_masses_of : mapping of str to tuple of float
        The same of each law.
    log_z_error : Estimate or None
        Given log Z minus the true one.
    """

    problem: str
    n: int
    effective: float
    law: str
    compatible: tuple[str, ...]
    p_values: Mapping[str, float]
    reasons: Mapping[str, str]
    power: Mapping[str, float]
    total_variation: Mapping[str, Estimate]
    kl: Mapping[str, Estimate]
    mode_masses: tuple[Estimate, ...]
    mode_masses_of: Mapping[str, tuple[float, ...]]
    log_z_error: Estimate | None = field(default=None)

    def as_record(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return asdict(self)

    def __repr__(self) -> str:
        lines = [f"{self.n} points (worth {self.effective:.0f}) on {self.problem!r}: {self._verdict()}"]
        for law in self.p_values:
            tv, kl = self.total_variation[law], self.kl[law]
            masses = " ".join(f"{mass:.3f}" for mass in self.mode_masses_of[law])
            lines.append(
                f"  {law:<11} p = {self.p_values[law]:<8.2g} TV {_shown(tv)}  KL {_shown(kl)}  modes {masses}  "
                f"({self.reasons[law]})"
            )
        lines.append("  modes found " + " ".join(f"{m.value:.3f} +- {m.stderr:.3f}" for m in self.mode_masses))
        if self.log_z_error is not None:
            lines.append(f"  log Z is off by {self.log_z_error.value:.4g} +- {self.log_z_error.stderr:.2g}")
        return "\n".join(lines)

    def _verdict(self) -> str:
        if self.law == "neither":
            return "they follow none of the laws, and are at least as far from each as these distances say"
        if self.law != "cannot tell":
            return f"they follow the {self.law} law (power against the others {self.power[self.law]:.1%})"
        parts = [f"{law} (power against the others {self.power[law]:.1%})" for law in self.compatible]
        return f"cannot tell: {' or '.join(parts)}"


def score_samples(
    problem: str,
    x: ArrayLike,
    *,
    log_weights: ArrayLike | None = None,
    log_z: float | None = None,
    log_z_error: float = 0.0,
    effective: float | None = None,
    level: float = 0.01,
    rng: Any = 0,
) -> SampleScore:
    """Say how far a sample lies from each law of a named problem, and which of them it follows.

    Parameters
    ----------
    problem : str
        One of :func:`known_truths`.
    x : array_like (n, d) or (n,)
        Points, angles (radians, up to full turns), or states (whole numbers), at least 100.
    log_weights : array_like (n,), optional
        Log weights up to a constant; minus infinity leaves a point out.
    log_z, log_z_error : float, optional
        An estimate of ``log Z(w)`` and its standard error.
    effective : float, optional
        Number of independent points that the sample is worth; default ``1 / sum weights^2``. Resampled or dependent
        points are worth less than that: give the number of founders, or of independent chains.
    level : float
        Largest chance that the law that points do follow is refused.
    rng : Generator, int or None
        Splits the sample for the distances.

    Returns
    -------
    SampleScore

    Raises
    ------
    SfbenchError
        For an unknown problem, too few points, or points of another dimension or kind.
    NotFiniteError
        For points that are not finite and have a weight.

    Notes
    -----
    Costs the problem's truth once a process (:func:`get_truth`), then about 0.3 s for 5,000 points.
    """
    truth, generator = get_truth(problem), as_generator(rng)
    points, w = weighted_points(x, log_weights)
    points, w = _checked(truth, points[w > 0.0]), w[w > 0.0]  # exp of a log weight far below the largest is 0
    z_error = as_number("log_z_error", log_z_error)
    if z_error < 0.0:
        raise SfbenchError(f"log_z_error is a standard error and must be at least 0, got {log_z_error!r}")
    if not 0.0 < as_number("level", level) <= 0.2:
        raise SfbenchError(f"level must lie in (0, 0.2], got {level!r}")
    worth = 1.0 / float(w @ w)
    if effective is not None:
        worth = min(worth, as_positive("effective", effective))
    if len(points) < FEWEST or worth < 2:
        raise SfbenchError(f"x must hold at least {FEWEST} points worth 2 or more, got {len(points)} worth {worth:.3g}")
    y: Any = points if truth.subspace is None else truth.subspace.project(points)
    reference, log_p = get_reference(problem), evaluate(truth, y)
    common = _complement_tests(truth, points, w, worth)
    p_values, reasons = {}, {}
    for law in truth.laws:
        tests = common | _tests(truth, reference, law, y, log_p, w, worth)
        reasons[law], least = min(tests.items(), key=lambda item: item[1])
        p_values[law] = min(1.0, len(tests) * least)
    compatible = tuple(law for law, p in p_values.items() if p > level)
    found = {law: _known(problem, law).witness.distances(y, log_p, w, worth, generator) for law in truth.laws}
    cells = find_cells(truth)
    off = None
    if log_z is not None:
        off = Estimate(as_number("log_z", log_z) - truth.log_z, z_error, 0, "given")
    return SampleScore(
        problem,
        len(points),
        worth,
        compatible[0] if len(compatible) == 1 else "cannot tell" if compatible else "neither",
        compatible,
        p_values,
        reasons,
        {law: separation(truth, reference, law, worth, level) for law in truth.laws},
        {law: pair[0] for law, pair in found.items()},
        {law: pair[1] for law, pair in found.items()},
        tuple(_share(column, w, worth) for column in cells.shares(y).T),
        {law: _known(problem, law).masses for law in truth.laws},
        off,
    )


@final
@dataclass(frozen=True, eq=False)
class _Known:
    """What scoring needs of the draws of one law."""

    columns: tuple[Float64Array, ...]  # sorted coordinates
    log_densities: Float64Array  # its own, sorted
    masses: tuple[float, ...]
    witness: Witness


@functools.lru_cache(maxsize=32)
def _known(problem: str, law: str) -> _Known:
    truth, reference = get_truth(problem), get_reference(problem)
    draws, log_p, row = reference.draws[law], reference.log_p[law], reference.names.index(law)
    columns = tuple(np.sort(column) for column in draws.T)
    masses = tuple(find_cells(truth).shares(draws).mean(axis=0).tolist())
    return _Known(columns, np.sort(log_p[row].round(9)), masses, Witness(row, draws, log_p))


def separation(truth: Truth, reference: Reference, law: str, n: float, level: float = 0.01) -> float:
    """Chance, at least, that n points of a law refuse each of the others: what a verdict on it rests on."""
    tests = len(truth.laws) + truth.rank + 2 * truth.has_complement
    others = [other for other in truth.laws if other != law]
    return min(reference.power(other, law, n, level / tests) for other in others)


def _checked(truth: Truth, points: Float64Array) -> Any:
    if points.shape[1] != truth.dim:
        raise SfbenchError(f"x must have shape (n, {truth.dim}) for problem {truth.name!r}, got {points.shape}")
    if not truth.is_discrete:
        return wrap(points) if truth.on_circle else points
    states, alphabet = points.round().astype(np.int64), truth.auxiliaries[0].alphabet
    if not np.array_equal(states, points) or states.min() < 0 or states.max() >= alphabet:
        raise ModelError(f"x must hold whole numbers 0 ... {alphabet - 1} for problem {truth.name!r}")
    return states


def _tests(
    truth: Truth, reference: Reference, law: str, y: Any, log_p: Float64Array, w: Float64Array, worth: float
) -> dict[str, float]:
    """p-values of a law by the name of the test."""
    known, there, row = _known(truth.name, law), reference.log_p[law], reference.names.index(law)
    error, tests = truth.errors[law], {}
    for other in truth.laws:
        if other != law:
            f, expected = reference.contrast(law, other, log_p), reference.contrast(law, other, there)
            gap = max(0.0, abs(float(w @ f) - float(expected.mean())) - 2.0 * error)
            spread = float(expected.std()) * np.sqrt(1.0 / worth + 1.0 / len(expected))
            tests[f"density ratio to the {other}"] = float(2.0 * scipy.stats.norm.sf(gap / max(spread, 1e-12)))
    for j in range(truth.rank):
        tests[f"coordinate {j}"] = kolmogorov_smirnov(y[:, j], w, worth, known.columns[j], error)
    tests["its own log density"] = kolmogorov_smirnov(log_p[row].round(9), w, worth, known.log_densities, error)
    return tests


def _complement_tests(truth: Truth, points: Float64Array, w: Float64Array, worth: float) -> dict[str, float]:
    """p-values of the Gaussian that all laws share beyond their coordinates."""
    subspace = truth.subspace
    if subspace is None or subspace.variance is None or not truth.has_complement:
        return {}
    rest = np.asarray(points - subspace.shift, np.float64)
    rest = (rest - rest @ subspace.frame @ subspace.frame.T) / np.sqrt(subspace.variance)
    freedom = truth.dim - truth.rank
    mean = w @ rest
    lengths = scipy.stats.chi2.cdf((rest**2).sum(axis=1), freedom)
    even = (np.arange(10_000) + 0.5) / 10_000
    return {
        "mean of the shared complement": float(scipy.stats.chi2.sf(worth * float(mean @ mean), freedom)),
        "spread of the shared complement": kolmogorov_smirnov(lengths, w, worth, even, 0.0, exact=True),
    }


def kolmogorov_smirnov(
    x: Float64Array, w: Float64Array, worth: float, known: Float64Array, error: float = 0.0, *, exact: bool = False
) -> float:
    """p-value of weighted points against sorted draws of a law (or quantiles, if ``exact``); conservative with ties."""
    order = np.argsort(x, kind="stable")
    values, cumulative = x[order], np.concatenate([[0.0], np.cumsum(w[order])])
    distance = 0.0
    for side in ("left", "right"):
        share = cumulative[np.searchsorted(values, values, side)]
        distance = max(distance, float(np.abs(share - np.searchsorted(known, values, side) / len(known)).max()))
    pooled = worth if exact else worth * len(known) / (worth + len(known))
    return float(scipy.special.kolmogorov(np.sqrt(pooled) * max(0.0, distance - error)))


def _share(column: Float64Array, w: Float64Array, worth: float) -> Estimate:
    mean = float(w @ column)
    return Estimate(mean, float(np.sqrt(w @ (column - mean) ** 2 / worth)), len(column), "cells")


def _shown(estimate: Estimate) -> str:
    low, high = estimate.interval(CONFIDENCE)
    return f"{max(estimate.value, 0.0):.3f} [{max(low, 0.0):.3f}, {max(high, 0.0):.3f}]"
