r"""Families of problems that :mod:`synthetic` does not name: heavy tails, angles, and what a simulated molecule does.

Every parameter is in the catalogue, nothing is drawn. Heavy tails are Student laws as scale mixtures of a few Gaussians
(their body to two or three times ``tail``, their tails up to the largest component), so that everything on the line
stays exact. Angles are mixtures of wrapped normals under Brownian motion on the circle,

    d rho / dv = -(s_w rho)' + rho'' / 2        backwards in the variance v, from the uniform law,

solved by Fourier collocation (:func:`sfbench.noises.torus.circle_law`) with two step sizes, extrapolated.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy  # submodules load on first use

from synthetic import LogLinearPool, SyntheticProblem, student_mixture
from synthetic.discrete import DiscreteProblem, DiscreteTable
from synthetic.torus import WrappedMixture, WrappedPool

from .._internal.aliases import Float64Array
from ..laws import GridDensity
from ..noises.torus import circle_law, torus_motion
from ..scores import FusedScore

CIRCLE = torus_motion()
_CELLS, _STEPS, _T_MIN = 256, 200, 1e-3
_FINER = 8  # cells of the density for each node


def student_mixtures(
    *, df: Sequence[float], location: Sequence[float], scale: Sequence[float], weights: Sequence[float]
) -> SyntheticProblem:
    """Student laws on the line; the target is their pool at ``weights``."""
    laws = tuple(student_mixture(*one, n_components=16, tail=1e-4) for one in zip(df, location, scale, strict=True))
    return SyntheticProblem("student_mixtures", LogLinearPool(laws, weights), laws, np.asarray(weights))


def wrapped_mixtures(*, laws: Sequence[Sequence[Sequence[float]]], weights: Sequence[float]) -> SyntheticProblem:
    """Laws of an angle, each as weights, means (radians) and variances; the target is their pool at ``weights``."""
    made: Any = tuple(WrappedMixture(w, np.reshape(means, (-1, 1)), v) for w, means, v in laws)
    return SyntheticProblem("wrapped_mixtures", WrappedPool(made, weights), made, np.asarray(weights))


def counted_states(*, counts: Sequence[str], alphabet: int, length: int, weights: Sequence[float]) -> DiscreteProblem:
    """Laws of states by what was counted in each, and half a count; the target is their pool at ``weights``."""
    numbers = [np.array(text.split(), np.float64) + 0.5 for text in counts]
    laws = tuple(DiscreteTable.from_weights(np.log(n), alphabet, length)[0] for n in numbers)
    return DiscreteProblem("counted_states", laws, np.asarray(weights, np.float64))


FAMILIES = {function.__name__: function for function in (student_mixtures, wrapped_mixtures, counted_states)}


def circle_density(laws: Sequence[Any], weights: Float64Array) -> GridDensity:
    """The fused law of one angle on cells of ``[-pi, pi)``; its error is the change made by the extrapolation."""
    fused = FusedScore(laws, weights, process=CIRCLE)
    coarse, fine = (circle_law(fused, n_cells=_CELLS, n_steps=n, t_min=_T_MIN)[1] for n in (_STEPS, 2 * _STEPS))
    error = 0.5 * float(np.abs(fine - coarse).sum()) * 2.0 * np.pi / _CELLS / 3.0  # second order in time
    values = scipy.signal.resample((4.0 * fine - coarse) / 3.0, 2 * _FINER * _CELLS)[1::2]  # between the nodes
    edges = np.linspace(-np.pi, np.pi, _FINER * _CELLS + 1)
    return GridDensity(edges, np.maximum(values, 1e-300), error, f"Fourier collocation, {_CELLS} nodes, {_STEPS} steps")
