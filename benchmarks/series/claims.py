"""Paired comparisons of the laws of series over splits by date, and the claims of ``python -m benchmarks.series``."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..common.claims import Claim, within
from ..common.rows import mean_interval
from ..common.study import Row, read_rows, write_rows

BASELINES = (
    *("nearest", "uniform", "barycenter", "mixture, equal", "mixture, EM"),
    *("fine-tuned", "fine-tuned mixture", "from scratch", "GARCH", "GARCH, tuned"),
)
LARGEST_FLOW_ERROR = 0.1  # nats
Interval = tuple[float, float, float]  # mean, and a 90 % interval


def paired(rows: Sequence[Row], task: str, n: int, a: str, b: str, score: str) -> Interval | None:
    """Mean over splits of the score of method a less that of b, with a 90 % interval of Student's t."""

    def of(method: str) -> dict[int, float]:
        chosen = [r for r in rows if (r["task"], r["n"], r["method"]) == (task, n, method)]
        return {r["split"]: r[score] for r in chosen if r.get(score) is not None}

    first, second = of(a), of(b)
    return interval([first[split] - second[split] for split in sorted(first.keys() & second.keys())])


def interval(values: Sequence[float]) -> Interval | None:
    """Mean and 90 % interval of Student's t; None for fewer than two values."""
    middle, ends = mean_interval(values, level=0.9) if len(values) > 1 else (0.0, None)
    return None if ends is None else (middle, *ends)


def comparison(rows: Sequence[Row]) -> list[Row]:
    """Fused less every other law: nats a row (larger is better), energy score and CRPS (smaller is better)."""
    found = []
    for task, n in dict.fromkeys((r["task"], r["n"]) for r in rows):
        for method in BASELINES:
            row: Row = {"task": task, "n": "all" if n == 0 else n, "against": method}
            for score in ("log_prob", "energy", "crps"):
                ends = paired(rows, task, n, "fused", method, score)
                if ends is not None:
                    row |= dict(zip((score, f"{score}_low", f"{score}_high"), ends, strict=True))
            if "log_prob" in row:
                found.append(row)
    return found


def verdicts(rows: Sequence[Row], score: str, better: int) -> str:
    """Against how many laws, tasks and sizes the averaged score is better, worse, or neither by its interval."""
    counts = {"better": 0, "worse": 0, "undecided": 0}
    for row in comparison(rows):
        if score in row:
            low, high = sorted((better * row[f"{score}_low"], better * row[f"{score}_high"]))
            counts["better" if low > 0 else "worse" if high < 0 else "undecided"] += 1
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def evaluate_claims(tables: dict[str, list[Row]]) -> list[Claim]:
    """All claims on the tables ``splits`` and ``facts``."""
    rows, facts = tables["splits"], tables["facts"]
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    claims = [
        Claim("fused against other laws, nats of held-out rows, by task, n and law", verdicts(rows, "log_prob", 1))
    ]
    if any("energy" in row for row in rows):
        claims.append(Claim("the same, energy score of forecasts", verdicts(rows, "energy", -1)))
    for task in tasks:
        claims += [*_flow(task, facts), *_conditions(task, rows)]
        if any(r["task"] == task and r["method"] == "GARCH, tuned" for r in rows):
            words = "fused loses to GARCH, upper end of the difference in nats a window"
            claims += [*_tails(task, rows, facts), *_beyond(task, rows, 0, "GARCH, tuned", words, -1)]
        if task == "mnist1d":
            few = min(r["n"] for r in rows if r["task"] == task and r["n"] > 0)
            words = f"fused beats fine-tuning at n = {few}, lower end of the difference in nats a row"
            claims += _beyond(task, rows, few, "fine-tuned", words, 1)
    return claims


def _flow(task: str, facts: Sequence[Row]) -> list[Claim]:
    found = next(r for r in facts if (r["task"], r["fact"]) == (task, "flow error"))
    return [
        within(
            f"{task}: largest error of the flow's log density of one auxiliary, nats",
            found["target"],
            high=LARGEST_FLOW_ERROR,
            control=(found["gaussian"], "a sixteenth of the steps"),
        )
    ]


def _conditions(task: str, rows: Sequence[Row]) -> list[Claim]:
    """Forecasts by fused conditional scores beat forecasts made for other rows."""
    chosen = [r for r in rows if (r["task"], r["method"], r["n"]) == (task, "fused", 0) and "energy" in r]
    own = interval([r["energy"] - r["energy_shuffled"] for r in chosen])
    control = interval([r["energy_moved"] - r["energy_shuffled"] for r in chosen])
    if own is None or control is None:
        return []
    if task.startswith("returns") or len(chosen) < 6:  # the past tells little but their size; few splits tell nothing
        return [
            Claim(
                f"{task}: energy score of fused forecasts, less that of forecasts for other rows",
                own[0],
                interval=own[1:],
            )
        ]
    return [
        within(
            f"{task}: upper end of the energy score of fused forecasts, less that of forecasts for other rows",
            own[2],
            high=0.0,
            control=(control[2], "other rows against other rows"),
            note=f"mean {own[0]:.3g}, {len(chosen)} splits",
        )
    ]


def _tails(task: str, rows: Sequence[Row], facts: Sequence[Row]) -> list[Claim]:
    """The averaged score of scale mixtures has lighter tails and less clustering than returns."""
    claims = []
    for fact in ("kurtosis", "absolute_autocorrelation"):
        own = next(r for r in facts if (r["task"], r["fact"]) == (task, fact))

        def mean(method: str, fact: str = fact) -> float:
            values = [r[f"fact_{fact}"] for r in rows if (r["task"], r["method"], r["n"]) == (task, method, 0)]
            return float(np.mean(values)) if values else float("nan")

        claims.append(
            within(
                f"{task}: {fact.replace('_', ' ')} of fused draws is below the target's interval",
                mean("fused"),
                high=own["low"],
                control=(mean("mixture, EM"), "the arithmetic mixture"),
                note=f"target {own['target']:.3g} [{own['low']:.3g}, {own['high']:.3g}], "
                f"Gaussian {own['gaussian']:.3g}, fine-tuned {mean('fine-tuned'):.3g}, GARCH {mean('GARCH'):.3g}",
            )
        )
    return claims


def _beyond(task: str, rows: Sequence[Row], n: int, method: str, words: str, sign: int) -> list[Claim]:
    """The averaged score beats (+1) or loses to (-1) a method by its whole interval, and does not so equal weights."""
    own, other = (paired(rows, task, n, "fused", name, "log_prob") for name in (method, "uniform"))
    if own is None or other is None:
        return []
    end, low, high = (1, 0.0, None) if sign > 0 else (2, None, 0.0)
    control, note = (other[end], "against equal weights"), f"mean {own[0]:.3g}"
    return [within(f"{task}: {words}", own[end], low, high, control=control, note=note)]


def write_comparison(folder: Path) -> None:
    """Write ``comparison.csv`` and the figure of it."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = read_rows(folder, "splits")
    found = comparison(rows)
    write_rows(folder, "comparison", found)
    tasks = list(dict.fromkeys(row["task"] for row in found))
    figure, grid = plt.subplots(1, len(tasks), figsize=(3.4 * len(tasks), 3.6), squeeze=False, sharey=True)
    for axes, task in zip(grid[0], tasks, strict=True):
        sizes = list(dict.fromkeys(row["n"] for row in found if row["task"] == task))
        for shift, n in enumerate(sizes):
            chosen = [row for row in found if row["task"] == task and row["n"] == n]
            places = [BASELINES.index(row["against"]) + 0.2 * (shift - (len(sizes) - 1) / 2) for row in chosen]
            means = np.array([row["log_prob"] for row in chosen])
            ends = np.array(
                [[row["log_prob"] - row["log_prob_low"], row["log_prob_high"] - row["log_prob"]] for row in chosen]
            )
            axes.errorbar(means, places, xerr=ends.T, fmt="o", ms=3, label=f"n = {n}")
        axes.axvline(0.0, color="0.6", lw=0.8)
        axes.set_xscale("symlog", linthresh=1.0)
        axes.set_yticks(range(len(BASELINES)), BASELINES)
        axes.set_title(task.replace("_", " "), fontsize=9)
        axes.legend(fontsize=7)
    grid[0, 0].invert_yaxis()
    figure.supxlabel("fused less the other law, nats a held-out row (right: fused is better)", fontsize=9)
    figure.tight_layout()
    figure.savefig(folder / "series.png", dpi=120)
    plt.close(figure)
