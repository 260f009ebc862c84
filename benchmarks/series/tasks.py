r"""What is fused: series in groups with many rows, a target with few, and splits that leave out what is close in time.

==================  ==============================================================  ===========================
task                auxiliaries                                                     target
==================  ==============================================================  ===========================
returns_sp500       calm and turbulent 32-day windows of S&P 500 returns, 1999 to   S&P 500, 2017 and 2018
                    2016, and those of Nasdaq
returns_nasdaq      the same                                                        Nasdaq, 2017 and 2018
temperatures        days (24 hours) of 2010: Seattle's winter and summer half,      San Francisco's summer half
                    San Francisco's winter half
mnist1d             one-dimensional digits 3 and 8: 10, 30, 70 and 90 % threes      60 % threes, test split
toy                 calm and turbulent windows of 12 numbers, drawn here            between the two
==================  ==============================================================  ===========================

Windows of returns start every four days and share days with their neighbours. A split holds out a quarter of a year (of
temperatures a month); rows are fitted to only if they share no day with it. Rows of ``mnist1d`` and ``toy`` are
independent.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import final

import numpy as np

from sfbench.data import load_items

STEP = 4  # days between the starts of neighbouring windows
SPLITS = 8
_THREES, _EIGHTS = 3, 8


@final
@dataclass(frozen=True, eq=False)
class SeriesTask:
    """Rows of auxiliaries and target, in units in which all rows of the auxiliaries have mean 0 and variance 1.

    Attributes
    ----------
    name : str
    auxiliaries : dict
        Rows (n, d) of every auxiliary, in the order of time.
    target : array (n, d)
        Rows in the order of time.
    splits : tuple of (array, array)
        Rows of the target to fit to, and held-out ones.
    given : int
        Leading coordinates that a forecast is given.
    in_time : bool
        Whether rows resemble their neighbours.
    history : array or None
        Daily returns before the target, for models of volatility, in the same units.
    t_min : float or None
        Where densities of probability flows start, None for the default. The flow's law there has ``2 t_min`` more
        variance in every direction, which has to be little against the smallest variance of the auxiliaries.
    """

    name: str
    auxiliaries: dict[str, np.ndarray]
    target: np.ndarray
    splits: tuple[tuple[np.ndarray, np.ndarray], ...]
    given: int
    in_time: bool
    history: np.ndarray | None = None
    t_min: float | None = None

    @property
    def dim(self) -> int:
        """Numbers in a row."""
        return int(self.target.shape[1])

    def rows(self, split: int, n: int, rng: np.random.Generator) -> np.ndarray:
        """At most n of a split's rows to fit to, in the order of time; n = 0 means all."""
        available = self.splits[split][0]
        count = len(available) if n == 0 else min(n, len(available))
        return np.asarray(self.target[np.sort(rng.choice(available, count, replace=False))])


def known_tasks() -> tuple[str, ...]:
    """Names of the tasks."""
    return tuple(_TASKS)


@lru_cache(maxsize=4)
def make_task(name: str, seed: int = 0) -> SeriesTask:
    """The task of that name; the seed matters where rows are drawn (``toy``) or chosen (``mnist1d``).

    Raises
    ------
    DataUnavailable
        If its data are not here, with the command that fetches them.
    """
    return _TASKS[name](name, seed)


def windows_of_blocks(n: int, days: int, blocks: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of n windows in the order of time: those that share no day with a block of days, and those inside it."""
    starts = STEP * np.arange(n)
    edges = np.linspace(0, starts[-1] + days, blocks + 1).round().astype(int)
    for low, high in itertools.pairwise(edges.tolist()):
        outside = (starts + days <= low) | (starts >= high)
        inside = (starts >= low) & (starts + days <= high)
        yield np.flatnonzero(outside), np.flatnonzero(inside)


def series_of(windows: np.ndarray) -> np.ndarray:
    """The daily series behind windows in the order of time."""
    return np.concatenate([windows[:-1, :STEP].ravel(), windows[-1]])


def _scaled(
    name: str,
    auxiliaries: dict[str, np.ndarray],
    target: np.ndarray,
    splits: Iterator[tuple[np.ndarray, np.ndarray]],
    given: int,
    in_time: bool,
    history: np.ndarray | None = None,
    t_min: float | None = None,
) -> SeriesTask:
    pooled = np.concatenate(list(auxiliaries.values()))
    mean, scale = float(pooled.mean()), float(pooled.std())
    scaled = {key: (x - mean) / scale for key, x in auxiliaries.items()}
    past = None if history is None else (history - mean) / scale
    return SeriesTask(name, scaled, (target - mean) / scale, tuple(splits), given, in_time, past, t_min)


def _returns(name: str, seed: int) -> SeriesTask:
    past, recent = load_items("series", "train"), load_items("series", "test")
    names, own = ("sp500", "nasdaq"), int(name == "returns_nasdaq")
    auxiliaries = {
        f"{names[index]} {regime}": past.x[(past.y == index) & (past.groups == group)]
        for index in (own, 1 - own)
        for group, regime in enumerate(("calm", "turbulent"))
    }
    target = recent.x[recent.y == own]
    splits = windows_of_blocks(len(target), target.shape[1], SPLITS)
    return _scaled(name, auxiliaries, target, splits, 24, True, series_of(past.x[past.y == own]))


def _temperatures(name: str, seed: int) -> SeriesTask:
    days = load_items("temperatures", "all")
    summer = (days.groups >= 3) & (days.groups <= 8)  # April to September
    auxiliaries = {
        "Seattle winter": days.x[(days.y == 0) & ~summer],
        "Seattle summer": days.x[(days.y == 0) & summer],
        "San Francisco winter": days.x[(days.y == 1) & ~summer],
    }
    chosen = (days.y == 1) & summer
    target, months = days.x[chosen], days.groups[chosen]
    splits = ((np.flatnonzero(months != m), np.flatnonzero(months == m)) for m in np.unique(months))
    return _scaled(name, auxiliaries, target, splits, 18, True, t_min=1e-9)


def _mnist1d(name: str, seed: int) -> SeriesTask:
    train, test = load_items("mnist1d", "train"), load_items("mnist1d", "test")
    rng = np.random.default_rng(seed)
    pools = [rng.permutation(train.x[train.y == digit]) for digit in (_THREES, _EIGHTS)]
    auxiliaries, used = {}, [0, 0]
    for share in (0.1, 0.3, 0.7, 0.9):  # disjoint rows
        counts = [round(180 * share), round(180 * (1.0 - share))]
        parts = [pool[u : u + c] for pool, u, c in zip(pools, used, counts, strict=True)]
        used = [u + c for u, c in zip(used, counts, strict=True)]
        auxiliaries[f"{share:.0%} threes"] = rng.permutation(np.concatenate(parts))
    threes, eights = test.x[test.y == _THREES], test.x[test.y == _EIGHTS]
    few = round(len(threes) * 2 / 3)
    target = rng.permutation(np.concatenate([threes, eights[: min(few, len(eights))]]))
    return _scaled(name, auxiliaries, target, _folds(len(target)), 30, False, t_min=1e-6)


def _toy(name: str, seed: int) -> SeriesTask:
    """Windows of an autoregression whose noise has a level of its own in every window."""
    rng = np.random.default_rng(seed)

    def draw(n: int, level: float) -> np.ndarray:
        noise = level * np.exp(0.4 * rng.normal(size=(n, 1))) * rng.normal(size=(n, 12))
        x = noise.copy()
        for j in range(1, 12):
            x[:, j] += 0.5 * x[:, j - 1]
        return x

    auxiliaries = {"calm": draw(300, 0.5), "turbulent": draw(300, 2.0)}
    return _scaled(name, auxiliaries, draw(96, 1.0), _folds(96), 8, False)


def _folds(n: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    rows = np.arange(n)
    for i in range(SPLITS):
        yield rows[rows % SPLITS != i], rows[rows % SPLITS == i]


_TASKS: dict[str, Callable[[str, int], SeriesTask]] = {
    "returns_sp500": _returns,
    "returns_nasdaq": _returns,
    "temperatures": _temperatures,
    "mnist1d": _mnist1d,
    "toy": _toy,
}
