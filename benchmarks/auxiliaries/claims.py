"""The claims of ``python -m benchmarks.auxiliaries``, each beside a control that must fail it."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy

from ..common.claims import Claim, within
from ..common.study import Row, loglog_slope

Cell = tuple[str, int, int, str, int]  # geometry, k, support, method, n
LEVEL = 1e-4  # of the test that a mean over seeds is above its bound; about a hundred cells are tested


def cells_of(rows: Sequence[Row], value: str = "excess") -> dict[Cell, np.ndarray]:
    """Values of all seeds, by cell."""
    found: dict[Cell, list[float]] = defaultdict(list)
    for row in rows:
        found[row["geometry"], row["k"], row["support"], row["method"], row["n"]].append(row[value])
    return {cell: np.array(values) for cell, values in found.items()}


def mean_interval(values: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Mean over seeds with a 95 % interval from its standard error."""
    middle = float(values.mean())
    half = 1.96 * float(values.std(ddof=1)) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    return middle, (middle - half, middle + half)


def above(excess: dict[Cell, np.ndarray], limits: dict[Cell, float]) -> list[Cell]:
    """Cells whose mean excess is above a limit, by Student's test over seeds at level 1e-4."""
    out = []
    for cell, limit in limits.items():
        values = excess[cell]
        beyond = float(values.mean()) - limit * (1.0 + 1e-9)
        error = float(values.std(ddof=1)) / np.sqrt(len(values))
        if beyond > 0 and scipy.special.stdtr(len(values) - 1, -beyond / max(error, 1e-300)) < LEVEL:
            out.append(cell)
    return out


def evaluate_claims(rows: Sequence[Row]) -> list[Claim]:
    """All claims on the rows."""
    excess = cells_of(rows)
    bound = {cell: float(values.mean()) for cell, values in cells_of(rows, "aggregation").items() if cell[3] == "exact"}
    return [*_bounds(excess, bound), *_sparsity(excess, bound), *_methods(excess), *_support(rows), _cost(rows)]


def _bounds(excess: dict[Cell, np.ndarray], bound: dict[Cell, float]) -> list[Claim]:
    claims = []
    for name, chosen in (
        ("one covariance", [cell for cell in bound if not cell[0].startswith("covariances")]),
        (
            "different covariances, where it is not proved",
            [cell for cell in bound if cell[0].startswith("covariances")],
        ),
    ):
        # What one would hope for: k enters through its logarithm alone, as in choosing one of k.
        hoped = {cell: np.log(cell[1]) / (2 * cell[4]) for cell in chosen if cell[1] > 2}
        ratios = [excess[cell].mean() / bound[cell] for cell in chosen]
        claims.append(
            within(
                f"cells above the aggregation bound, {name}",
                len(above(excess, {cell: bound[cell] for cell in chosen})),
                high=0,
                control=(len(above(excess, hoped)), "log k / 2n in its place"),
                note=f"{len(chosen)} cells; mean excess over bound {min(ratios):.2f} to {max(ratios):.2f}",
            )
        )
    n = max(cell[4] for cell in bound)
    full = [cell for cell in bound if cell[0] == "disjoint" and cell[2] == 0 and cell[4] == n]
    ratio, interval = mean_interval(np.concatenate([excess[c] / bound[c] for c in full]))
    halved = float(np.mean([excess[c].mean() / (c[1] / c[4]) for c in full]))
    claims.append(
        within(
            "all k in use, disjoint, largest n: mean excess over (k - 1) / 2n",
            ratio,
            0.85,
            1.15,
            interval=interval,
            control=(halved, "over k / n"),
            note=f"n = {n}, {len(full)} numbers of auxiliaries",
        )
    )
    return claims


def _sparsity(excess: dict[Cell, np.ndarray], bound: dict[Cell, float]) -> list[Claim]:
    k, n = max(c[1] for c in excess if c[0] == "disjoint"), max(c[4] for c in excess)
    shares = {s: mean_interval(excess["disjoint", k, s, "exact", n] * 2 * n / (k - 1)) for s in (1, 4, 0)}
    claims = [
        within(
            f"disjoint, {s} of {k} in use: excess over (k - 1) / 2n",
            shares[s][0],
            high=0.5,
            interval=shares[s][1],
            control=(shares[0][0], "all in use"),
        )
        for s in (1, 4)
    ]
    ks = sorted({c[1] for c in excess if c[0] == "disjoint" and c[1] >= 4})
    points = [float(x) for x in ks]
    slopes = {}
    for s in (4, 0):
        scaled = [_scaled(excess, x, s) for x in ks]
        seeds = min(len(values) for values in scaled)
        slopes[s] = loglog_slope(points, np.stack([values[:seeds] for values in scaled], axis=1))
    slope, low, high = slopes[4]
    claims.append(
        Claim(
            "disjoint, 4 in use: exponent of the excess in k (all n)",
            slope,
            interval=(low, high),
            note=f"all in use {slopes[0][0]:.2f}",
        )
    )
    few = [c for c in bound if c[0] == "disjoint" and c[1] >= 16 and c[2] in (1, 4)]
    ratio, interval = mean_interval(np.concatenate([excess[c] / bound[c] for c in few]))
    claims.append(
        within(
            "disjoint, 1 or 4 of 16 and more in use: mean excess over the bound (about s log(k/s) / n)",
            ratio,
            0.75,
            1.15,
            interval=interval,
            control=(float(np.mean([excess[c].mean() * 2 * c[4] / (c[1] - 1) for c in few])), "over (k - 1) / 2n"),
            note=f"{len(few)} cells",
        )
    )
    return claims


def _scaled(excess: dict[Cell, np.ndarray], k: int, support: int) -> np.ndarray:
    """n times the excess, averaged over n, by seed."""
    chosen = [c for c in excess if c[:4] == ("disjoint", k, support, "exact")]
    return np.asarray(np.mean([excess[c] * c[4] for c in chosen], axis=0))


def _methods(excess: dict[Cell, np.ndarray]) -> list[Claim]:
    n, smallest = max(c[4] for c in excess), min(c[4] for c in excess)

    def ratio(cell: Cell, one: str, other: str) -> float:
        return float(excess[(*cell[:3], one, cell[4])].mean() / excess[(*cell[:3], other, cell[4])].mean())

    four = [c for c in excess if c[1] >= 16 and c[2:4] == (4, "best 2")]
    apart = [ratio(c, "equal weights", "best 2") for c in four if c[0] == "disjoint"]
    alike = [ratio(c, "equal weights", "best 2") for c in four if c[0] == "near-duplicate" and c[4] == smallest]
    claims = [
        within(
            "disjoint, 4 in use: excess of equal weights over that of the best two (least over k >= 16 and n)",
            min(apart),
            low=2.0,
            control=(min(alike), f"near-duplicates, n = {smallest}: equal weights win"),
        )
    ]
    sparse = [c for c in excess if c[0] == "disjoint" and c[1] >= 16 and c[2] in (1, 4) and c[3:] == ("exact", n)]
    gain = {m: float(np.mean([ratio(c, m, "exact") for c in sparse])) for m in ("cross-validated k", "entropy")}
    claims.append(
        within(
            "disjoint, 1 or 4 in use, largest n: excess of cross-validated k over that of the exact fit",
            gain["cross-validated k"],
            high=0.7,
            control=(gain["entropy"], "cross-validated entropy"),
            note="mean of the ratios over k >= 16",
        )
    )
    for method in ("cross-validated k", "ridge", "entropy", "equal weights"):
        every = [ratio(c, method, "exact") for c in excess if c[3] == method and c[1] >= 4]
        claims.append(
            Claim(
                f"{method}: mean excess over that of the exact fit, median over cells (k >= 4)",
                float(np.median(every)),
                interval=(min(every), max(every)),
                note="the interval is the range over cells",
            )
        )
    return claims


def _support(rows: Sequence[Row]) -> list[Claim]:
    """Who finds the four in use: by their zeros, and (told that there are four) by their four largest weights."""
    n = max(row["n"] for row in rows)
    methods = ("exact", "best 4", "cross-validated k", "ridge", "entropy")

    def share(geometry: str, method: str, by_zeros: bool = True) -> float:
        wanted: tuple[Any, ...] = (geometry, method, n, 4)
        chosen = [r for r in rows if (r["geometry"], r["method"], r["n"], r["support"]) == wanted and r["k"] >= 16]
        return float(np.mean([r["found"] == 1.0 and r["false"] == 0 if by_zeros else r["top"] == 1.0 for r in chosen]))

    def every(by_zeros: bool) -> str:
        names = list(dict.fromkeys(r["geometry"] for r in rows if r["support"] == 4 and r["k"] >= 16 and r["n"] == n))
        found = {m: "/".join(f"{share(g, m, by_zeros):.2f}" for g in names) for m in methods}
        return f"{' / '.join(names)}: " + ", ".join(f"{m} {text}" for m, text in found.items())

    return [
        within(
            "4 of 16 and more in use, disjoint, largest n: share of fits that name exactly these, cross-validated k",
            share("disjoint", "cross-validated k"),
            low=0.5,
            control=(share("disjoint", "exact"), "exact fit: it keeps some others however large n is"),
        ),
        Claim("the same by geometry: positive weights are those of the four in use", every(True)),
        Claim("the same, told that there are four: the four largest weights are theirs", every(False)),
    ]


def _cost(rows: Sequence[Row]) -> Claim:
    k = max(row["k"] for row in rows)
    middle = {
        m: 1e3 * float(np.median([row["solve_s"] for row in rows if row["method"] == m and row["k"] == k]))
        for m in ("exact", "cross-validated k", "ridge", "entropy")
    }
    text = ", ".join(f"{name} {value:.1f}" for name, value in middle.items())
    return Claim(f"milliseconds of the solves at k = {k}, median", text, note="score evaluations are the same for all")
