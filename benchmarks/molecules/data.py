"""Chains of alanine dipeptide conditioned on phi < 0, what they are used for, and how samples are judged.

Half of the chains of every solvent make the reference (`REFERENCE`); target samples are of the other half (`OWN`).
Annealed runs that start in one half are compared with the acceptance ratio of the other. Networks learn from all
chains of vacuum and water and never see the mixed solvent.
"""

from functools import lru_cache

import numpy as np

from sfbench._internal.aliases import Float64Array
from sfbench.data import load_items
from sfbench.data.alanine import WATER, AlanineScore, mixed_dielectric, torsions

from .free_energy import Line, bennett
from .internal import DIM, Chart

SOLVENTS = ("vacuum", "mixed", "water")
LINE = (0.0, 0.5, 1.0)  # weights of water
OWN, REFERENCE, ALL = range(5), range(5, 10), range(10)
_PHI_CELLS, _PSI_CELLS = 9, 18  # of 20 degrees


@lru_cache(maxsize=64)
def chain(solvent: str, number: int) -> Float64Array:
    """Points (n, 66) of one chain with phi < 0."""
    data = load_items("alanine_chains")
    x = data.x[(data.y == SOLVENTS.index(solvent)) & (data.groups == number)]
    return np.asarray(x[inside(x)])


def points(solvent: str, chains: range) -> Float64Array:
    """Points (n, 66) of several chains."""
    return np.concatenate([chain(solvent, number) for number in chains])


def inside(x: Float64Array) -> np.ndarray:
    """Whether phi < 0."""
    return np.asarray(torsions(x)[:, 0] < 0)


@lru_cache(maxsize=4)
def law(w: float) -> AlanineScore:
    """The barycenter at weight w of water."""
    return AlanineScore(WATER if w == 1.0 else mixed_dielectric(w))


def difference(x: Float64Array) -> Float64Array:
    """``V = U_water - U_vacuum`` in kT at points (n, 66), shape (n,)."""
    return law(1.0).energy(x) - law(0.0).energy(x)


@lru_cache(maxsize=64)
def differences(solvent: str, number: int) -> Float64Array:
    """V of one chain."""
    return difference(chain(solvent, number))


def line(chains: list[int]) -> Line:
    """The reference of these chains of all solvents."""
    return bennett([np.concatenate([differences(s, c) for c in chains]) for s in SOLVENTS], LINE)


def histogram(angles: Float64Array, weights: Float64Array | None = None) -> Float64Array:
    """Masses (162,) of cells of 20 degrees of phi < 0 and psi; angles (n, 2), those with phi >= 0 left out."""
    counts, *_ = np.histogram2d(
        angles[:, 0],
        angles[:, 1],
        bins=(_PHI_CELLS, _PSI_CELLS),
        range=((-np.pi, 0.0), (-np.pi, np.pi)),
        weights=weights,
    )
    return np.asarray(counts.ravel() / max(counts.sum(), 1e-300))


def variation(a: Float64Array, b: Float64Array) -> float:
    """Total variation of two histograms."""
    return float(0.5 * np.abs(np.asarray(a) - np.asarray(b)).sum())


@lru_cache(maxsize=1)
def scaling() -> tuple[Chart, Float64Array, Float64Array]:
    """The chart, and mean and scale (60,) of the two auxiliaries' internal coordinates, half of each."""
    chart = Chart()
    q = [chart.internal(points(solvent, ALL)) for solvent in ("vacuum", "water")]
    means, squares = np.mean([v.mean(axis=0) for v in q], axis=0), np.mean([(v**2).mean(axis=0) for v in q], axis=0)
    return chart, means, np.sqrt(squares - means**2)


def standardised(x: Float64Array) -> Float64Array:
    """Internal coordinates (n, 60) of mean 0 and scale 1 over the auxiliaries."""
    chart, mean, scale = scaling()
    return np.asarray((chart.internal(x) - mean) / scale)


def cartesian(y: Float64Array) -> Float64Array:
    """Back to points (n, 66)."""
    chart, mean, scale = scaling()
    return chart.cartesian(mean + scale * y.reshape(-1, DIM))
