"""Verdicts and claims of the coverage study."""

from collections import defaultdict
from dataclasses import dataclass
from typing import final

import numpy as np
import scipy

from ..common.claims import Claim, within
from ..common.study import Row
from .cells import CONTROL

LEAST, MOST, _CERTAIN, _MOSTLY = 0.85, 0.95, 0.99, 0.9


@final
@dataclass(frozen=True)
class Coverage:
    """One method in one cell: shares over the draws."""

    problem: str
    n: int
    method: str
    draws: int
    covered: tuple[float, ...]
    width: float
    missed: float
    flagged: float

    @property
    def worst(self) -> tuple[float, float, float]:
        """Least share of hits of a weight, with its exact binomial interval."""
        hits = round(min(self.covered) * self.draws)
        tail = 0.5 * (1.0 - _CERTAIN)
        low = scipy.special.betaincinv(hits, self.draws - hits + 1, tail) if hits else 0.0
        high = scipy.special.betaincinv(hits + 1, self.draws - hits, 1.0 - tail) if hits < self.draws else 1.0
        return min(self.covered), float(low), float(high)

    @property
    def holds(self) -> bool:
        """Coverage in [0.85, 0.95] as far as the draws tell, or a warning; and no fit outside its interval."""
        return not self.missed and bool((self.enough and not self.excessive) or self.flagged >= _MOSTLY)

    @property
    def verdict(self) -> str:
        """``covered``; ``warned`` where coverage is wrong and the fits say so; ``FAILS``."""
        if not self.holds:
            return "FAILS"
        return "covered" if self.enough and not self.excessive else "warned"

    @property
    def enough(self) -> bool:
        """Whether the least covered weight may have 0.85."""
        return self.worst[2] >= LEAST

    @property
    def excessive(self) -> bool:
        """Whether the mean over weights is above 0.95 by more than a standard error."""
        return bool(np.mean(self.covered) > MOST + np.sqrt(MOST * (1.0 - MOST) / self.draws))


def summarise(rows: list[Row]) -> list[Coverage]:
    """Cells in the order of the rows; blocks of draws are added up."""
    cells: dict[tuple[str, int, str], list[Row]] = defaultdict(list)
    for row in rows:
        cells[row["problem"], row["n"], row["method"]].append(row)
    found = []
    for (problem, n, method), blocks in cells.items():
        draws = sum(row["draws"] for row in blocks)
        covered = np.sum([row["hits"] for row in blocks], axis=0) / draws
        width = sum(row["draws"] * np.mean(row["width"]) for row in blocks) / draws
        missed, flagged = (sum(row[name] for row in blocks) / draws for name in ("missed", "flagged"))
        found.append(Coverage(problem, n, method, draws, tuple(covered.tolist()), float(width), missed, flagged))
    return found


def evaluate_claims(cells: list[Coverage]) -> list[Claim]:
    """The requirements of the study; the control must fail them."""
    default = [cell for cell in cells if cell.method == "auto"]
    control = [cell for cell in cells if cell.method == CONTROL]
    bad = [cell for cell in default if not cell.holds]
    names = "; ".join(f"{cell.problem}, n = {cell.n}" for cell in bad)
    boundary = [cell for cell in default if not cell.problem.startswith("interior")]
    interior = [cell for cell in default if cell.problem.startswith("interior")]
    wide = np.mean([share for cell in boundary for share in cell.covered])
    found = [
        within(
            "cells not covered or warned (in [0.85, 0.95], or 0.9 of fits warn), or whose interval misses its fit",
            len(bad),
            high=0,
            control=(sum(not cell.holds for cell in control), CONTROL),
            note=f"of {len(default)} cells{': ' + names if names else ''}",
        ),
        within(
            "fits outside their own interval",
            sum(cell.missed for cell in default) / len(default),
            high=0.0,
            control=(sum(cell.missed for cell in control) / len(control), CONTROL),
        ),
        within(
            "cells with a weight covered less than 0.85, warned or not",
            sum(not cell.enough for cell in default),
            high=0,
            control=(sum(not cell.enough for cell in control), CONTROL),
            note="; ".join(f"{cell.problem}, n = {cell.n}" for cell in default if not cell.enough),
        ),
        Claim("cells covered more than 0.95", sum(cell.excessive for cell in default)),
        Claim("mean coverage near the boundary", float(wide), note="above 0.9 where other weights may be zero"),
    ]
    if interior:
        shares = [share for cell in interior for share in cell.covered]
        found.append(within("mean coverage in the interior, n of at least 32", float(np.mean(shares)), 0.85, 0.95))
    return found


def print_cells(cells: list[Coverage]) -> None:
    """One line a cell."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "problem",
        "n",
        "method",
        "draws",
        "mean",
        "worst weight [99 %]",
        "width",
        "misses its fit",
        "warned",
        "covered or warned",
        title="90 % intervals",
    )
    for cell in cells:
        least, low, high = cell.worst
        table.add_row(
            cell.problem,
            str(cell.n),
            cell.method,
            str(cell.draws),
            f"{np.mean(cell.covered):.3f}",
            f"{least:.3f} [{low:.3f}, {high:.3f}]",
            f"{cell.width:.3f}",
            f"{cell.missed:.3f}",
            f"{cell.flagged:.2f}",
            cell.verdict,
        )
    Console(width=150).print(table)
