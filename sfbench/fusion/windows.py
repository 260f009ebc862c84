r"""At which times may weights be fitted? Where auxiliaries differ by more than they err.

Fitted weights rest on the differences ``s_i - s_j``. At large t all noised laws look alike and these differences
vanish, while networks go on erring; the fitted weight is then decided by errors. Held-out denoising score matching
shows it, with no knowledge of the true scores: on held-out data of auxiliary i itself, at one time node,

    J_i(w) = w'G w - 2 b'w + c      must be least at the vertex ``e_i``, if ``s_i`` is right.

Let w be the unconstrained optimum on ``sum w = 1``. Then ``(w - e_i)'G(w - e_i)`` is the part of ``E |s_i - s_i*|^2``
that lies in the span of the differences, the only part that moves weights (its noise, ``tr(G^+ S) / n``, is
subtracted); it is compared with the smallest ``(e_i - e_j)'G(e_i - e_j) = E |s_i - s_j|^2``. Their ratio is about the
square of the error of a fitted weight from such a node alone. G and b are those of :mod:`sfbench.statistics`, noise
antithetic.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from .._internal.aliases import Float64Array, SeedLike
from .._internal.validation import as_generator, as_items, as_number
from ..errors import GramError
from ..processes import ForwardProcess
from ..processes.times import TimeGrid
from ..scores import ScoreModel, as_score_models
from ..statistics import GramSettings, score_statistics
from ..statistics.nodes import rows_to_keep


@final
@dataclass(frozen=True, eq=False)
class WindowReport:
    """Differences and errors per time node and auxiliary.

    Attributes
    ----------
    nodes : array (t,)
    difference : array (t, k)
        Smallest ``E |s_i - s_j|^2`` over j, on held-out data of auxiliary i.
    error : array (t, k)
        Held-out squared error of ``s_i`` in the span of the differences, bias subtracted (may be slightly negative).
    noise : array (t, k)
        Standard error of ``error`` at its null, ``sqrt(2 tr((G^+ S)^2)) / n``: what cannot be told apart from zero.
    tolerance : float
        Largest accepted ``sqrt(error / difference)``.
    """

    nodes: Float64Array
    difference: Float64Array
    error: Float64Array
    noise: Float64Array
    tolerance: float

    @property
    def ratio(self) -> Float64Array:
        """``sqrt(error / difference)`` (t, k): about the error of a weight fitted at that node alone."""
        floor = np.finfo(np.float64).tiny
        return np.sqrt(np.maximum(self.error, 0.0) / np.maximum(self.difference, floor))

    @property
    def meaningful(self) -> np.ndarray:
        """Whether every auxiliary differs by more than it errs, (t,)."""
        return np.asarray((self.ratio <= self.tolerance).all(axis=1))

    @property
    def undecided(self) -> np.ndarray:
        """Nodes that pass, but whose held-out data are too few to have shown otherwise, (t,)."""
        unseen = np.sqrt(2.0 * self.noise / np.maximum(self.difference, np.finfo(np.float64).tiny))
        return np.asarray(self.meaningful & (unseen > self.tolerance).any(axis=1))

    def window(self) -> tuple[float, float]:
        """``(t_min, t_max)`` of the longest run of meaningful nodes, for :func:`sfbench.fuse`.

        Raises
        ------
        GramError
            If no node is meaningful.
        """
        best, start = (0, 0), 0
        for i in range(len(self.nodes) + 1):
            if i == len(self.nodes) or not self.meaningful[i]:
                if i - start > best[1] - best[0]:
                    best = (start, i)
                start = i + 1
        if best[0] == best[1]:
            raise GramError(
                "at no time node do the auxiliaries differ by more than they err: train them longer, or give more "
                f"held-out data (smallest error over difference: {self.ratio.max(axis=1).min():.2f})"
            )
        return float(self.nodes[best[0]]), float(self.nodes[best[1] - 1])

    def messages(self) -> list[str]:
        """Warnings in plain words; empty if every node is meaningful and decided."""
        notes = []
        for t, row in zip(self.nodes[~self.meaningful], self.ratio[~self.meaningful], strict=True):
            worst = int(row.argmax())
            notes.append(
                f"t = {t:.3g}: auxiliary {worst} errs {row[worst]:.2f} times as much as it differs from the nearest "
                "other; weights fitted here are decided by network error: exclude this node"
            )
        if self.undecided.any():
            notes.append(
                f"held-out data are too few to judge {int(self.undecided.sum())} nodes from t = "
                f"{self.nodes[self.undecided][0]:.3g}"
            )
        return notes


def inspect_windows(
    models: Iterable[ScoreModel],
    held_out: Iterable[Any],
    *,
    process: ForwardProcess,
    grid: TimeGrid,
    tolerance: float = 0.3,
    n_noise: int = 4,
    rng: SeedLike = 0,
) -> WindowReport:
    """Compare, per time node, how far the auxiliaries differ with how far each errs.

    Parameters
    ----------
    models : iterable of ScoreModel
        The k auxiliaries, k >= 2.
    held_out : iterable of arrays (n_i, d)
        Data of each auxiliary's own law that it was not trained on; a few hundred points each.
    process : ForwardProcess
    grid : TimeGrid
        Nodes to inspect.
    tolerance : float
        Accepted error of a weight fitted at one node.
    n_noise : int
        Noise draws per point.
    rng : Generator, SeedSequence, int or None

    Returns
    -------
    WindowReport
    """
    scores = as_score_models(models, process)
    held_out = as_items("held_out", held_out, "arrays (n_i, d), one per auxiliary", GramError)
    k = len(scores)
    if k < 2:
        raise GramError("a window needs at least two auxiliaries to compare")
    if len(held_out) != k:
        raise GramError(f"need held-out data of each of the {k} auxiliaries, got {len(held_out)} arrays")
    if not as_number("tolerance", tolerance, GramError) > 0:
        raise GramError(f"tolerance must be positive, got {tolerance!r}")
    if not isinstance(grid, TimeGrid):
        raise GramError(f"grid must be a TimeGrid such as time_grid(1e-3, 5.0), got {grid!r}")
    generator = as_generator(rng)
    difference, error, noise = np.zeros((3, len(grid), k))
    node_means = GramSettings(
        process, TimeGrid(grid.nodes, np.ones(len(grid))), weighting=np.ones_like, n_noise=n_noise
    )
    for i, data in enumerate(held_out):
        seed = int(generator.integers(0, 2**62))
        order = [i, *(j for j in range(k) if j != i)]  # differences are kept relative to the first model
        own = [scores[j] for j in order]
        statistics = score_statistics(own, data, node_means, keep=rows_to_keep(k, len(grid)), parts=len(grid), rng=seed)
        if statistics.n < 2:
            raise GramError(f"held_out[{i}] must hold at least 2 points")
        vertex = np.eye(k)[0]
        for t, (G, b, kept) in enumerate(zip(statistics.G, statistics.b, statistics.parts, strict=True)):
            inverse = np.linalg.pinv(G[1:, 1:], rcond=1e-8, hermitian=True)
            spread = kept.gradient_covariance(vertex)[1:, 1:] / 4.0  # the gradient is twice (G w - b)
            turned = inverse @ spread / kept.n
            difference[t, i] = float(np.diag(G)[1:].min())
            error[t, i] = float(b[1:] @ inverse @ b[1:]) - float(np.trace(turned))
            noise[t, i] = float(np.sqrt(max(2.0 * np.trace(turned @ turned), 0.0)))
    return WindowReport(grid.nodes, difference, error, noise, tolerance)
