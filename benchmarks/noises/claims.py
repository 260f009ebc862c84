"""The claims of ``python -m benchmarks.noises``, each beside a control that must fail it."""

from collections.abc import Sequence

import numpy as np

from ..common.claims import Claim, within
from ..common.rows import mean, pick
from ..common.study import Row
from .student_cells import GAUSSIAN

Tables = dict[str, list[Row]]


def evaluate_claims(tables: Tables) -> list[Claim]:
    """All claims on the tables."""
    return [
        *_torus_laws(tables["torus_laws"]),
        *_torus_fits(tables["torus_fits"]),
        _certificate("torus", tables["torus_bounds"]),
        *_student_laws(tables["student_laws"]),
        *_student_fits(tables["student_fits"]),
        _certificate("Student", tables["student_bounds"]),
        *_tails(tables["tails"]),
        *_shared(tables["shared"]),
    ]


def rms(rows: Sequence[Row], key: str) -> float:
    """Root mean square of a column."""
    return float(np.sqrt(np.mean([row[key] ** 2 for row in rows])))


def slope(rows: Sequence[Row], key: str) -> float:
    """Slope of the root mean square (of the mean, for an excess) against n, both logarithmic."""
    sizes = sorted({row["n"] for row in rows})
    values = [mean(pick(rows, n=n), key) if key == "excess" else rms(pick(rows, n=n), key) for n in sizes]
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def shuffled(rows: Sequence[Row]) -> list[Row]:
    """The rows with sizes permuted within seeds: rows that hold no rate."""
    rng = np.random.default_rng(0)
    out = []
    for seed in sorted({row["seed"] for row in rows}):
        own = pick(rows, seed=seed)
        out += [row | {"n": n} for row, n in zip(own, rng.permutation([row["n"] for row in own]).tolist(), strict=True)]
    return out


def _rate(name: str, rows: Sequence[Row], key: str, low: float, high: float) -> Claim:
    """The slope of a column against n."""
    control = (slope(shuffled(rows), key), "sizes permuted")
    return within(f"{name} against n", slope(rows, key), low, high, control=control)


def _close(name: str, rows: Sequence[Row], key: str, floor: str, control: tuple[str, str], note: str = "") -> Claim:
    """The mean of a total variation is that of direct draws; that of another column is not."""
    other = (mean(rows, control[0], floor), control[1])
    return within(f"{name} above that of direct draws", mean(rows, key, floor), high=0.01, control=other, note=note)


def _torus_laws(rows: Sequence[Row]) -> list[Claim]:
    claims = []
    for d in sorted({row["d"] for row in rows}):
        own = pick(rows, d=d)
        note = f"{len(own)} problems, n = {own[0]['n']:,}; direct draws {mean(own, 'floor'):.4f}"
        name = f"torus, d = {d}: corrected, mean TV to the barycenter"
        claims.append(_close(name, own, "tv_corrected", "floor", ("tv_fused", "fused"), note))
    line = pick(rows, d=1)
    ends = [f"{f(r['exact_fused'] for r in line):.3f}" for f in (min, max)]
    note = f"fused law and barycenter are {ends[0]} to {ends[1]} apart"
    name, control = "torus, d = 1: fused, mean TV to the exact fused law", ("tv_corrected_to_fused", "corrected")
    claims.append(_close(name, line, "tv_fused_to_fused", "fused_floor", control, note))
    scores = [abs(r["log_z"] - r["truth"]) / r["log_z_error"] for r in rows]
    other = min(abs(r["truth"]) / r["log_z_error"] for r in rows)
    name = "torus: log Z, largest error in standard errors"
    return [*claims, within(name, max(scores), high=4.0, control=(other, "log Z = 0"))]


def _torus_fits(rows: Sequence[Row]) -> list[Claim]:
    line = pick(rows, d=1)
    claims = [
        _rate("torus: slope of TV", line, "tv", -0.6, -0.4),
        _rate("torus: slope of the mean excess", line, "excess", -1.2, -0.8),
        within(
            "torus: mean excess over its fast rate, averaged over n",
            float(
                np.mean(
                    [mean(pick(line, n=n), "excess") / mean(pick(line, n=n), "fast") for n in {r["n"] for r in line}]
                )
            ),
            0.7,
            1.4,
            control=(float(np.mean([r["excess"] / r["slow"] for r in line])), "the slow bound in its place"),
            note=f"{len(line)} fits",
        ),
        within(
            "torus: excess above the slow bound, share of fits",
            float(np.mean([r["excess"] > r["slow"] for r in line])),
            high=0.05,
            control=(float(np.mean([r["excess"] > r["fast"] for r in line])), "above the mean fast rate"),
        ),
    ]
    largest = max(r["d"] for r in rows)
    n = max(r["n"] for r in pick(rows, d=largest))
    far, near = (pick(rows, d=d, n=n, growing=False) for d in (largest, 1))
    growing = pick(rows, d=largest, n=n, growing=True)
    many = max(r["n"] for r in line)  # fewer rows would be no control: weights of few rows end at the border
    claims.append(
        within(
            f"torus: TV of fits at d = {largest} over d = 1, laws that differ in one angle",
            rms(far, "tv") / rms(near, "tv"),
            0.65,
            1.5,
            control=(rms(near, "tv") / rms(pick(line, n=many), "tv"), f"n = {n:,} over n = {many:,}, d = 1"),
            note=f"n = {n:,}, {len(far)} fits each",
        )
    )
    ratio = mean(growing, "slow") / mean(far, "slow")
    name = f"torus: slow constant at d = {largest}, laws that differ in all angles over laws that differ in one"
    claims.append(Claim(name, ratio, note="E |s|^2 hides in it"))
    return claims


def _certificate(name: str, rows: Sequence[Row]) -> Claim:
    loose = [r for r in rows if r["bound"] > 1e-3]
    ratios = [r["kl_fused"] / r["bound"] for r in loose]
    sure = [(r["kl_fused"] - r.get("kl_fused_error", 0.0)) / r["bound"] for r in loose]  # violations for sure
    return within(
        f"{name}: largest KL less its own numerical error, over its certificate",
        max(sure),
        high=1.0,
        control=(max(r["kl_other"] / r["bound"] for r in loose), "the law of other weights"),
        note=f"{len(loose)} cells; KL over certificate {min(ratios):.6f} to {max(ratios):.6f}",
    )


def _student_laws(rows: Sequence[Row]) -> list[Claim]:
    heavy = [r for r in rows if r["df"] != GAUSSIAN]
    return [
        _close(
            "Student: corrected, mean TV to the barycenter",
            heavy,
            "tv_corrected",
            "floor_pool",
            ("tv_fused", "fused"),
            f"{len(heavy)} runs, n = {heavy[0]['n']:,}; direct draws {mean(heavy, 'floor_pool'):.4f}",
        ),
        _close(
            "Student: fused, mean TV to the exact fused law",
            heavy,
            "tv_fused_to_fused",
            "floor_fused",
            ("tv_corrected_to_fused", "corrected"),
        ),
        within(
            "Student: exact fused law, largest change of its TV to the barycenter when noise is Gaussian instead",
            max(abs(r["exact_fused"] - _gaussian(rows, r)["exact_fused"]) for r in heavy),
            high=5e-3,
            control=(min(r["exact_fused"] for r in heavy), "its least TV to the barycenter"),
        ),
    ]


def _gaussian(rows: Sequence[Row], row: Row) -> Row:
    return pick(rows, df=GAUSSIAN, data=row["data"], seed=row["seed"])[0]


def _student_fits(rows: Sequence[Row]) -> list[Claim]:
    heavy = [r for r in rows if r["df"] != GAUSSIAN]
    line = pick(heavy, d=1)
    n = max(r["n"] for r in heavy if r["d"] > 1)
    far, near = [r for r in heavy if r["d"] > 1 and r["n"] == n], pick(line, n=n)
    gaussian = pick(rows, df=GAUSSIAN, d=1, n=n)
    few = min(r["n"] for r in line)
    return [
        _rate("Student: slope of TV", line, "tv", -0.6, -0.4),
        within(
            f"Student: TV of fits embedded in d = {far[0]['d']} over d = 1",
            rms(far, "tv") / rms(near, "tv"),
            0.65,
            1.5,
            control=(rms(pick(line, n=few), "tv") / rms(near, "tv"), f"n = {few:,} over n = {n:,}"),
        ),
        within(
            "Student: share of 90 % intervals that cover",
            mean(heavy, "covered"),
            low=0.84,
            control=(mean(heavy, "covered_halved"), "intervals of half the length"),
            note=f"{len(heavy)} fits",
        ),
        Claim(
            "Student: TV of fits over that with Gaussian noise",
            rms(near, "tv") / rms(gaussian, "tv"),
            note=f"n = {n:,}, d = 1",
        ),
    ]


def _tails(rows: Sequence[Row]) -> list[Claim]:
    def growth(key: str, data: float) -> float:
        own = sorted(pick(rows, data=data), key=lambda r: r["radius"])
        return float(own[-1][key] / own[0][key])

    least = min(r["data"] for r in rows)
    ends = [f"{f(r['radius'] for r in rows):.0e}" for f in (min, max)]
    return [
        within(
            f"tails: growth of the prior mismatch, data of {least} degrees cut at {ends[0]} and {ends[1]}",
            growth("coupled", least),
            high=1.1,
            control=(growth("own", least), "scale independent of the data, or Gaussian noise"),
            note="scale coupled to the data",
        )
    ]


def _shared(rows: Sequence[Row]) -> list[Claim]:
    apart = [r for r in rows if r["gap"] >= 4.0]
    same = [r for r in rows if r["gap"] == 0.0]
    return [
        within(
            "shared scale: least TV of its barycenter to that of the laws of x, laws four and more apart",
            min(r["tv"] for r in apart),
            low=0.05,
            control=(max(r["tv"] for r in same), "equal laws"),
            note="a counterexample: augmenting each law by its own scale pools another law",
        )
    ]
