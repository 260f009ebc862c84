"""What a careful reader of a fit should know, in plain words.

Texts are kept in ``result.warnings`` and given once as :class:`sfbench.FitWarning`: those known before the pass over
the data at once, others with the fit.
"""

import warnings
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from solvers import SolverResult, TimeWeights, tangent_spectrum

from .._internal.aliases import Float64Array
from ..errors import FitWarning
from ..processes.times import TimeGrid
from ..statistics.gram import Contributions, ScoreGram
from .names import labels_of
from .window_bias import WindowBias
from .zero_weights import unclear_zeros, zero_weights

_HEAVY_SHARE = 0.1
_FAIR_SHARES = 10.0  # a sample may carry this many times the average before it counts as heavy
_COLLINEAR = 1e8
_FEW = 32
_INVOLVED = 0.1  # share of a direction's largest entry from which an auxiliary is named
_LEVEL = 1e-3  # of the test for window bias: one false alarm in a thousand
_NOTICEABLE = 0.01  # a difference of weights below this is not worth a warning, however certain

Fit = TypeVar("Fit", bound=Any)


def announce(texts: Iterable[str], stacklevel: int = 3) -> None:
    """Give texts as warnings, of whoever called the caller."""
    for text in texts:
        warnings.warn(text, FitWarning, stacklevel=stacklevel)


def announced(result: Fit, said: Iterable[str] = ()) -> Fit:
    """The fit, after its warnings were given but for those that were said before."""
    known = set(said)
    announce((text for text in result.warnings if text not in known), stacklevel=4)
    return result


def fit_warnings(
    gram: ScoreGram, answer: SolverResult, grid: TimeGrid, bias: WindowBias | None = None, names: Sequence[str] = ()
) -> tuple[str, ...]:
    """Warnings about a fit: certificate, uniqueness, boundary, window bias, outliers; empty if nothing stands out."""
    notes: list[str] = []
    labels = labels_of(names, gram.k)
    if not answer.converged:
        notes.append(f"the weights are not certified: duality gap {answer.gap:.3g} ({answer.status})")
    notes += _collinear(gram, answer, labels)
    at_zero = zero_weights(answer)
    if at_zero.any():
        zero = ", ".join(labels[i] for i in np.flatnonzero(at_zero).tolist())
        notes.append(f"weight at the boundary for auxiliary {zero}: it does not help on these data")
    if bias is not None and bias.p_value < _LEVEL and bias.size > _NOTICEABLE:
        notes.append(_window(bias, grid, labels))
    notes += few_samples(gram.n) if gram.k > 1 else ()
    if gram.contributions is not None and gram.n > 1:
        notes += _unclear_zeros(gram, gram.contributions, answer.weights, at_zero, labels)
    if gram.contributions is not None:
        notes += _heavy_rows(gram.contributions)
    return tuple(notes)


def warnings_over_time(grams: Sequence[ScoreGram], answer: TimeWeights, smoothing: float) -> tuple[str, ...]:
    """The same for weights by bin of time: certificate, few samples, and bins whose weights are not unique."""
    k = grams[0].k
    notes = (
        [] if answer.converged else [f"the weights are not certified: duality gap {answer.gap:.3g} ({answer.status})"]
    )
    notes += few_samples(grams[0].n) if k > 1 else ()
    if smoothing or k < 2:  # smoothing ties what a bin leaves open to its neighbours
        return tuple(notes)
    open_bins = [i for i, gram in enumerate(grams) if tangent_spectrum(gram.to_qp()).rank < k - 1]
    if open_bins:
        numbers = ", ".join(map(str, open_bins))
        text = f"the weights of bins {numbers} are not unique: auxiliaries coincide or are collinear there"
        notes.append(f"{text}; the fused score is the same for all of them")
    return tuple(notes)


def _unclear_zeros(
    gram: ScoreGram, kept: Contributions, weights: Float64Array, at_zero: NDArray[np.bool_], labels: Sequence[str]
) -> list[str]:
    if gram.k < 2:
        return []
    unclear = unclear_zeros(gram, kept, weights, at_zero)
    if not unclear.any():
        return []
    names = ", ".join(labels[i] for i in np.flatnonzero(unclear).tolist())
    text = f"these data do not tell whether the weight of auxiliary {names} is zero: "
    return [text + "intervals are approximate here and may be too long or too short (docs/intervals.md)"]


def few_samples(n: float, what: str = "n =") -> tuple[str, ...]:
    """A warning if there are few samples, or if weighted ones are as good as few."""
    if not 0 < n < _FEW:
        return ()
    samples = "sample" if n == 1 else "samples"
    return (
        f"only {what} {n:.3g} {samples}: they say little about their own spread, so the intervals may be too short",
    )


def _collinear(gram: ScoreGram, answer: SolverResult, labels: Sequence[str]) -> list[str]:
    if gram.k < 2:
        return []
    if not answer.is_unique:
        names = _involved(answer.null_directions, labels)
        text = f"the weights are not unique: auxiliaries {names} coincide or are collinear; the smallest weights were "
        return [text + "chosen among equals, and the fused score is the same for all of them"]
    spectrum = tangent_spectrum(gram.to_qp())
    if spectrum.condition_number <= _COLLINEAR:
        return []
    centred = np.eye(gram.k) - 1.0 / gram.k
    direction = np.linalg.eigh(centred @ gram.G @ centred + np.full((gram.k, gram.k), gram.G.trace()))[1][:, :1]
    text = (
        f"auxiliaries {_involved(direction, labels)} are nearly collinear (condition {spectrum.condition_number:.1e}): "
    )
    return [text + "their single weights are uncertain, the fused score is not"]


def _involved(directions: Float64Array, labels: Sequence[str]) -> str:
    size = np.abs(directions).max(axis=1)
    return ", ".join(labels[i] for i in np.flatnonzero(size > _INVOLVED * size.max()).tolist())


def _window(bias: WindowBias, grid: TimeGrid, labels: Sequence[str]) -> str:
    worst = int(np.abs(bias.early - bias.late).argmax())
    half = len(grid) // 2
    middle = float(np.sqrt(grid.nodes[half - 1] * grid.nodes[half]))
    return (
        f"window bias: t < {middle:.2g} asks for a weight of {bias.early[worst]:.3f} for auxiliary {labels[worst]}, "
        f"later times for {bias.late[worst]:.3f}, more than sampling explains (p = {bias.p_value:.1g}). No weights "
        "fit the target at all times, so they depend on t_min and t_max: a window near 0 fits the KL barycenter, a "
        "long one the fused law"
    )


def _heavy_rows(kept: Contributions) -> list[str]:
    """A warning if one sample, or one batch of them, carries far more than its share of G or of the spread of b."""
    limit = max(_HEAVY_SHARE, _FAIR_SHARES / len(kept.counts))
    deviation = kept.b - kept.counts @ kept.b / kept.n
    for sizes in (np.einsum("nii->n", kept.g), np.linalg.norm(deviation, axis=1)):
        carried = kept.counts * sizes
        worst, total = int(carried.argmax()), float(carried.sum())
        if carried[worst] > limit * total:
            first, count = int(kept.counts[:worst].sum()), int(kept.counts[worst])
            place = f"sample {first}" if count == 1 else f"one of the samples {first} to {first + count - 1}"
            return [f"{place} carries {carried[worst] / total:.0%} of the statistics: an outlier, or heavy tails"]
    return []
