"""The claims of ``python -m benchmarks.sampling_error``, each beside a negative control that must fail it."""

from collections.abc import Callable, Sequence

import numpy as np

from ..common.claims import Claim
from ..common.rows import pick
from ..common.study import Row
from .cells import CHECKED
from .checks import (
    CHECK_LIMIT,
    COST_LIMIT,
    COVERED,
    FALSE_ALARMS,
    WINDOW_ERROR,
    below_bound,
    covers_log_z,
    follows_fused_law,
    honest_window,
    is_honest,
    keeps_coordinates,
    keeps_independence,
    reaches_barycenter,
    returns_vertex,
)
from .integrator_cells import EXPECTED_ORDERS

Tables = dict[str, list[Row]]
_KNOWN_GAPS = {0.5: 0.40, 0.2: 0.28}  # published with two digits


def evaluate_claims(rows: Tables) -> list[Claim]:
    """Evaluate every claim on the rows and its control on rows that must fail it."""
    judged = []
    for claim in (
        _gap,
        _fused,
        _corrected,
        _log_z,
        _vertices,
        _evaluations,
        _orders,
        _certificate,
        _flat,
        _honest,
        _blocks,
        _joint,
        _cost,
        _check,
        _windows,
        _alarms,
        _coverage,
    ):
        title, measured, holds, control = claim(rows)
        judged.append(Claim(title, measured, "as the claim says", bool(holds), control_fails=not control))
    return judged


Verdict = tuple[str, str, bool, bool]  # claim, what was measured, whether it holds, whether the control passes it


def summary(rows: Sequence[Row]) -> list[Row]:
    """Mean and standard deviation over seeds of every method's distances to both laws and of its mode mass."""
    table: list[Row] = []
    for w in dict.fromkeys(r["w_1"] for r in rows):
        for method in dict.fromkeys(r["method"] for r in rows):
            chosen = pick(rows, w_1=w, method=method)
            row: Row = {"w_1": w, "method": method, "runs": len(chosen)}
            for key in ("tv_fused", "tv_pool", "mass"):
                values = [r[key] for r in chosen]
                row[key] = float(np.mean(values))
                row[f"{key}_sd"] = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
            table.append(row)
    return table


def _gap(rows: Tables) -> Verdict:
    gaps = {row["w_1"]: row["tv_laws"] for row in rows["laws"]}

    def close(found: dict[float, float]) -> bool:
        return all(abs(found[w] - known) <= 0.005 for w, known in _KNOWN_GAPS.items())

    swapped = {0.5: gaps[0.2], 0.2: gaps[0.5]}
    text = ", ".join(f"w_1 = {w}: {gap:.4f}" for w, gap in sorted(gaps.items()))
    return "TV(P_w, p_w) is 0.40 and 0.28 (Fokker-Planck)", text, close(gaps), close(swapped)


def _fused(rows: Tables) -> Verdict:
    def within(method: str) -> bool:
        return all(follows_fused_law(r) for r in pick(rows["laws"], method=method))

    worst = max(r["tv_fused"] - r["floor_fused"] for r in pick(rows["laws"], method="fused"))
    text = f"worst excess over the histogram's floor {worst:+.4f}"
    return "the fused sampler follows the Fokker-Planck law", text, within("fused"), within("corrected")


def _corrected(rows: Tables) -> Verdict:
    def good(method: str) -> bool:
        return all(reaches_barycenter(r) for r in pick(rows["laws"], method=method))

    chosen = pick(rows["laws"], method="corrected")
    tv = max(r["tv_pool"] for r in chosen)
    mass = max(abs(r["mass"] - r["mass_pool"]) for r in chosen)
    title = "corrected: in every run TV to p_w at most 0.02 and mode mass within 0.01"
    return title, f"worst of {len(chosen)} runs: TV {tv:.4f}, mode mass {mass:.4f}", good("corrected"), good("fused")


def _log_z(rows: Tables) -> Verdict:
    chosen = pick(rows["laws"], method="corrected")

    def covered(truth: dict[float, float]) -> bool:
        return all(covers_log_z(r, truth[r["w_1"]]) for r in chosen)

    truth = {r["w_1"]: r["log_z_truth"] for r in chosen}
    other = dict(zip(truth, np.roll(list(truth.values()), 1).tolist(), strict=True))
    worst = max(abs(r["log_z"] - truth[r["w_1"]]) for r in chosen)
    parts = {name: np.mean([r[f"log_z_error_{name}"] for r in chosen]) for name in ("sampling", "steps")}
    text = (
        f"worst error {worst:.4f}; stated about {np.mean([r['log_z_error'] for r in chosen]):.4f} "
        f"(sampling {parts['sampling']:.4f}, steps {parts['steps']:.4f})"
    )
    title = "log Z from scores: quadrature within three stated errors"
    return title, text, covered(truth), covered(other)


def _vertices(rows: Tables) -> Verdict:
    worst = max(rows["vertices"], key=lambda r: r["tv"] - r["floor"])
    text = f"worst excess over the floor {worst['tv'] - worst['floor']:+.4f} ({worst['sampler']})"
    other = min(r["tv_pool"] for r in rows["laws"] if r["method"].startswith("auxiliary"))
    return ("at a vertex every sampler returns that auxiliary", text, returns_vertex(worst), other <= 0.024)


def _evaluations(rows: Tables) -> Verdict:
    def needed(name: str) -> float:
        reached = [r["evaluations"] for r in pick(rows["evaluations"], integrator=name) if r["tv"] < 0.01]
        return float(min(reached, default=np.inf))

    names = list(dict.fromkeys(r["integrator"] for r in rows["evaluations"]))
    spent = {name: needed(name) for name in names}
    tried = max(r["evaluations"] for r in pick(rows["evaluations"], integrator="EM, uniform"))
    baseline = min(spent["EM, uniform"], float(tried))  # at least this many
    best = min(spent, key=lambda name: spent[name])
    text = ", ".join(f"{name} {'> ' + str(tried) if np.isinf(n) else int(n)}" for name, n in spent.items())
    title = "evaluations for TV < 0.01: the best integrator needs at most a tenth of uniform Euler-Maruyama"
    return title, text, spent[best] <= 0.1 * baseline, spent["EM"] <= 0.1 * baseline


def slope(rows: Sequence[Row], key: str) -> float:
    """Log-log slope of an error against the step, over the rows with 32 steps or more."""
    chosen = [r for r in rows if r["n_steps"] >= 32 and r[key] > 0]
    x, y = np.log([1.0 / r["n_steps"] for r in chosen]), np.log([r[key] for r in chosen])
    return float(np.polyfit(x, y, 1)[0])


def _orders(rows: Tables) -> Verdict:
    found = {name: slope(pick(rows["orders"], integrator=name), "strong") for name in EXPECTED_ORDERS}

    def right(wanted: dict[str, float]) -> bool:
        return all(abs(found[name] - order) <= 0.25 for name, order in wanted.items())

    swapped = {name: 3.0 - order for name, order in EXPECTED_ORDERS.items()}
    text = ", ".join(f"{name} {value:.2f}" for name, value in found.items())
    return "strong orders 1 and 2", text, right(EXPECTED_ORDERS), right(swapped)


def _certificate(rows: Tables) -> Verdict:
    def never_above(factor: float) -> bool:
        return all(below_bound(r, factor) for r in rows["certificate"])

    ratios = [r["kl"] / r["bound"] for r in rows["certificate"]]
    text = f"KL / bound between {min(ratios):.3f} and {max(ratios):.4f}"
    return "Girsanov: KL(q || P_w) never above the bound", text, never_above(1.0), never_above(0.9)


def _flat(rows: Tables) -> Verdict:
    shares = [r["ess"] for r in rows["embedded"]]
    plain = [r["founders"] / r["n"] for r in pick(rows["products"], method="plain")]

    def flat(values: Sequence[float]) -> bool:
        return max(values) <= 1.05 * min(values)

    text = f"ESS share {min(shares):.3f} to {max(shares):.3f} for d up to {max(r['d'] for r in rows['embedded'])}"
    return "rank 1 in d dimensions: ESS does not depend on d", text, flat(shares), flat(plain)


def _honest(rows: Tables) -> Verdict:
    def honest(chosen: Sequence[Row], trusted: Callable[[Row], bool]) -> bool:
        return all(is_honest(r, trusted=trusted(r)) for r in chosen)

    corrected = {r["method"] for r in rows["products"] if "founders" in r}
    # Trusted only by samplers whose diagnostics are at stake; the control trusts the ESS alone, as is common.
    chosen = [r for r in rows["products"] if r["method"] in corrected]
    worst = max(r["tv_worst"] for r in chosen if r["trustworthy"])
    text = f"worst per-coordinate TV among trusted cells {worst:.4f}"
    control = honest(chosen, lambda r: r.get("ess_min", 0.0) > 0.5)
    return "no clean bill of health above 0.05", text, honest(chosen, lambda r: bool(r["trustworthy"])), control


def _blocks(rows: Tables) -> Verdict:
    def stays(method: str) -> bool:
        return all(keeps_coordinates(r) for r in pick(rows["products"], method=method))

    top = max(r["r"] for r in rows["products"])
    found = [r["tv_mean"] for r in pick(rows["products"], method="blocks", r=top)]
    text = f"mean per-coordinate TV {np.mean(found):.4f} at r = {top}"
    return "blocked resampling keeps the error flat in r", text, stays("blocks"), stays("plain")


def _joint(rows: Tables) -> Verdict:
    def independent(method: str) -> bool:
        return all(keeps_independence(r) for r in pick(rows["products"], method=method))

    found = max(r["correlation"] for r in pick(rows["products"], method="blocks"))
    text = f"largest correlation between two blocks {found:.3f}"
    return (
        "blocks stay independent of one another, as under the truth",
        text,
        independent("blocks"),
        independent("plain"),
    )


def _check(rows: Tables) -> Verdict:
    shares = [r[f"check_{name}"] for r in rows["cost"] for name in CHECKED]
    text = "; ".join(
        f"d = {r['d']}: "
        + ", ".join(f"{name} {r[f'check_{name}']:.3f} (CPU {r[f'check_cpu_{name}']:.3f})" for name in CHECKED)
        for r in rows["cost"]
    )
    title = "the check of the steps costs at most a tenth of the evaluations"
    return title, text, max(shares) <= CHECK_LIMIT, max(shares) + CHECK_LIMIT <= CHECK_LIMIT


def _windows(rows: Tables) -> Verdict:
    chosen, default = (pick(rows["windows"], chosen=c) for c in (True, False))
    seen = [r for r in default if r["tv"] >= WINDOW_ERROR]
    text = (
        f"worst TV {max(r['tv'] for r in chosen):.3f} over windows from the models; over the process's own "
        f"{max(r['tv'] for r in default):.3f}, {sum(not r['trustworthy'] for r in seen)} of {len(seen)} wrong ones seen"
    )
    holds = all(r["tv"] < WINDOW_ERROR for r in chosen) and all(honest_window(r) for r in default)
    control = all(honest_window(r, trusted=True) for r in default)
    return (
        "narrow modes and wide data: right over the window chosen from the models, or not trusted",
        text,
        holds,
        control,
    )


def _alarms(rows: Tables) -> Verdict:
    def doubted(default: bool) -> float:
        found = ["too long" in r["messages"] for r in rows["trust"] if (r["n_steps"] == 0) == default]
        return float(np.mean(found))

    count = sum(r["n_steps"] == 0 for r in rows["trust"])
    text = f"{doubted(True):.2%} of {count} runs with default steps doubted, {doubted(False):.0%} of those with few"
    return (
        "default steps of random problems are not doubted",
        text,
        doubted(True) <= FALSE_ALARMS,
        doubted(False) <= FALSE_ALARMS,
    )


def _coverage(rows: Tables) -> Verdict:
    runs = [r for r in rows["trust"] if r["sampler"] == "corrected" and r["trustworthy"]]

    def within(error: str) -> float:
        return float(np.mean([abs(r["log_z_gap"]) <= 3.0 * r[error] for r in runs]))

    text = (
        f"{within('log_z_error'):.1%} of {len(runs)} runs, {within('log_z_sampling'):.1%} for the sampling error alone"
    )
    title = "log Z of random problems is within three stated errors"
    return title, text, within("log_z_error") >= COVERED, within("log_z_sampling") >= COVERED


def _cost(rows: Tables) -> Verdict:
    ratios = [r["ratio"] for r in rows["cost"]]
    text = ", ".join(f"d = {r['d']}: {r['ratio']:.2f}" for r in rows["cost"])
    return "corrected costs at most 1.3 times fused", text, max(ratios) <= COST_LIMIT, 2.0 * max(ratios) <= COST_LIMIT
