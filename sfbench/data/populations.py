"""Populations with exact class counts, from disjoint items."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from .._internal.aliases import SeedLike
from .._internal.validation import as_generator
from .errors import PopulationError


def make_populations(
    x: ArrayLike,
    y: ArrayLike,
    mixes: Sequence[Mapping[int, float]],
    n: int | Sequence[int],
    *,
    disjoint: bool = True,
    rng: SeedLike = None,
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Draw one population per mix.

    Parameters
    ----------
    x : array_like (N, ...)
        Items.
    y : array_like (N,)
        Their labels.
    mixes : sequence of mappings label -> share
        Shares of a mix sum to one; the counts are ``n`` times the shares, rounded so that they add up to n.
    n : int or sequence of int
        Size of each population.
    disjoint : bool
        Whether no item may belong to two populations. Within a population items never repeat.
    rng : Generator, SeedSequence, int or None

    Returns
    -------
    list of (x_i (n_i, ...), y_i (n_i,), index_i (n_i,))
        In random order; ``index_i`` says which items they are.

    Raises
    ------
    PopulationError
        If a class has too few items; names the largest size that would fit.
    """
    items, labels = np.asarray(x), np.asarray(y)
    if labels.ndim != 1 or len(items) != len(labels) or len(labels) == 0:
        raise PopulationError(
            f"x and y must hold the same number of items, at least 1; got {items.shape}, {labels.shape}"
        )
    if not mixes:
        raise PopulationError("no mixes given")
    sizes = [n] * len(mixes) if isinstance(n, int | np.integer) else [int(v) for v in n]
    if len(sizes) != len(mixes) or min(sizes) < 1:
        raise PopulationError(f"n must be one size, or one per mix, each at least 1; got {n!r} for {len(mixes)} mixes")
    for i, mix in enumerate(mixes):
        shares = np.array(list(mix.values()), dtype=np.float64)
        if not shares.size or not np.all(np.isfinite(shares)) or np.any(shares < 0) or abs(shares.sum() - 1) > 1e-9:
            raise PopulationError(f"mixes[{i}] must have non-negative shares that sum to one, got {dict(mix)}")
    counts = [class_counts(mix, size) for mix, size in zip(mixes, sizes, strict=True)]
    _check_supply(labels, mixes, counts, sizes, disjoint)
    generator = as_generator(rng)
    order = {label: generator.permutation(np.flatnonzero(labels == label)) for mix in mixes for label in mix}
    used = dict.fromkeys(order, 0)
    populations = []
    for count in counts:
        chosen: list[np.ndarray] = []
        for label, wanted in count.items():
            if disjoint:
                chosen.append(order[label][used[label] : used[label] + wanted])
                used[label] += wanted
            else:
                chosen.append(generator.permutation(order[label])[:wanted])
        index = generator.permutation(np.concatenate(chosen))
        populations.append((items[index], labels[index], index))
    return populations


def class_counts(mix: Mapping[int, float], n: int) -> dict[int, int]:
    """Whole counts that add up to n and differ from ``n`` times the shares by less than one (largest remainders)."""
    exact = {label: n * share for label, share in mix.items()}
    counts = {label: int(np.floor(value + 1e-9)) for label, value in exact.items()}
    by_remainder = sorted(mix, key=lambda label: counts[label] - exact[label])
    for label in by_remainder[: n - sum(counts.values())]:
        counts[label] += 1
    return counts


def _check_supply(
    labels: np.ndarray,
    mixes: Sequence[Mapping[int, float]],
    counts: list[dict[int, int]],
    sizes: list[int],
    disjoint: bool,
) -> None:
    supply = {label: int((labels == label).sum()) for mix in mixes for label in mix}

    def short_of(all_counts: list[dict[int, int]]) -> int | None:
        for label, available in supply.items():
            wanted = [count.get(label, 0) for count in all_counts]
            if (sum(wanted) if disjoint else max(wanted)) > available:
                return label
        return None

    label = short_of(counts)
    if label is None:
        return
    low, high = 0.0, 1.0  # the largest common factor by which the sizes must shrink
    for _ in range(60):
        middle = 0.5 * (low + high)
        shrunk = [class_counts(m, int(middle * s)) for m, s in zip(mixes, sizes, strict=True)]
        low, high = (middle, high) if short_of(shrunk) is None else (low, middle)
    feasible = [int(low * s) for s in sizes]
    largest = str(feasible[0]) if len(set(feasible)) == 1 else str(feasible)
    wanted = sum(c.get(label, 0) for c in counts) if disjoint else max(c.get(label, 0) for c in counts)
    how = "all populations together" if disjoint else "one population"
    raise PopulationError(
        f"class {label} has {supply[label]} items, {how} need {wanted}; the largest feasible n is {largest}"
        + (", or pass disjoint=False" if disjoint else "")
    )
