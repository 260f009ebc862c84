"""The claims of ``python -m benchmarks.molecules``, each beside a control that must fail it."""

from collections.abc import Sequence

import numpy as np
from scipy import stats
from scipy.special import logsumexp

from ..common.claims import Claim, within
from ..common.rows import mean_interval
from ..common.study import Row
from .compositions import TARGETS
from .data import OWN, REFERENCE, variation

CLOSE = 0.1  # kT


def evaluate_claims(tables: dict[str, list[Row]]) -> list[Claim]:
    """All claims on the tables that were run."""
    claims: list[Claim] = []
    if "annealed" in tables:
        claims += _free_energies(tables["reference"][0], tables["annealed"])
        claims += _torsions(tables["reference"][0], tables["annealed"])
        claims += _weights(tables["weights"])
    if "methods" in tables:
        claims += _networks(tables["reference"][0], tables["methods"])
    if "compositions" in tables:
        claims += _compositions(tables["compositions"])
    return claims


def crossed(exact: Row, rows: Sequence[Row], name: str, prefix: str = "") -> tuple[float, tuple[float, float]]:
    """Annealed minus reference, each half of the chains against the other, with the interval of the jackknife.

    Runs are averaged as ratios of partition functions, of which each is an unbiased estimate. ``prefix`` takes another
    estimate of the runs.
    """
    chains = sorted({r["chain"] for r in rows})

    def estimate(kept: Sequence[int]) -> float:
        found = []
        for half, other in ((OWN, ""), (REFERENCE, "own_")):
            own = [r for r in rows if r["chain"] in half and r["chain"] in kept]
            water = log_mean([r[f"{prefix}water"] for r in own])
            halfway = log_mean([r[f"{prefix}pool"] + 0.5 * r[f"{prefix}water"] for r in own])
            value = water if name == "water" else halfway - 0.5 * water
            found.append(value - exact[f"{other}{name}"])
        return float(np.mean(found))

    m, left = len(chains), np.array([estimate([c for c in chains if c != out]) for out in chains])
    spread = np.sqrt((m - 1) / m * ((left - left.mean()) ** 2).sum())
    references = 0.5 * np.hypot(exact[f"{name}_error"], exact[f"own_{name}_error"])
    half_width = float(stats.t.ppf(0.975, m - 2) * np.hypot(spread, references))
    value = estimate(chains)
    return value, (value - half_width, value + half_width)


def log_mean(values: Sequence[float]) -> float:
    """Logarithm of the mean of the exponentials."""
    return float(logsumexp(values) - np.log(len(values)))


def _free_energies(exact: Row, rows: Sequence[Row]) -> list[Claim]:
    claims = []
    about = f"{len(rows)} runs of {rows[0]['particles']} particles, {rows[0]['levels']} levels; error of the reference "
    for name, what, uncorrected in (
        ("pool", "free energy of the pool at w = 1/2", 0.0),  # Jensen's gap is what the correction measures
        ("water", "free energy from vacuum to water", float(np.mean([r["uncorrected_water"] for r in rows]))),
    ):
        value, interval = crossed(exact, rows, name)
        claims.append(
            within(
                f"{what}: annealed sampler with exact forces minus the acceptance ratio, kT",
                value,
                -CLOSE,
                CLOSE,
                interval=interval,
                control=(uncorrected - exact[name], "without correction weights"),
                note=f"{about}{exact[f'{name}_error']:.3f}; its value {exact[name]:.3f}",
            )
        )
    for name, what in (("pool", "of the pool"), ("water", "from vacuum to water")):
        certain = exact | {key: 0.0 for key in exact if key.endswith("_error")}
        value, ends = crossed(certain, rows, name)
        claims.append(Claim(f"the same {what}, if the reference had no error, kT", value, interval=ends))
        one, ends = crossed(exact, rows, name, "one_step_")
        claims.append(Claim(f"the same {what} in one step, without moves, kT", one, interval=ends))
    claims.append(
        Claim("two halves of the chains: their pools' free energies differ by, kT", exact["own_pool"] - exact["pool"])
    )
    return claims


def _torsions(exact: Row, rows: Sequence[Row]) -> list[Claim]:
    truth, high = np.array(exact["torsions"]), 1.5 * exact["floor"]
    annealed = variation(np.mean([r["torsions"] for r in rows], axis=0), truth)
    unweighted = variation(np.mean([r["unweighted"] for r in rows], axis=0), truth)
    note = f"at most 1.5 times the floor, {exact['floor']:.3f}: the mixed solvent itself, by other chains"
    particles = sum(r["particles"] for r in rows)
    draws = np.random.default_rng(0).multinomial(particles, truth / truth.sum(), size=400) / particles
    noise = float(0.5 * np.abs(draws - truth).sum(axis=1).mean())
    return [
        within(
            "torsions, total variation on phi < 0: vacuum and water chains reweighted to the pool",
            exact["tv"]["pooled"],
            high=high,
            control=(exact["tv"]["mixture"], "arithmetic mixture"),
            note=note,
        ),
        within(
            "torsions, total variation on phi < 0: annealed sampler at w = 1/2",
            annealed,
            high=max(high, 1.5 * noise),
            control=(unweighted, "its particles before annealing"),
            note=f"at most 1.5 times that of {particles} independent draws of the reference, {noise:.3f}, or the floor",
        ),
    ]


def _weights(rows: Sequence[Row]) -> list[Claim]:
    n = max(r["n"] for r in rows)
    largest = [r for r in rows if r["n"] == n]
    value, interval = mean_interval([r["mixed"] for r in largest])
    small = [r["mixed"] for r in rows if r["n"] == min(r["n"] for r in rows)]
    return [
        within(
            f"weight of water from exact scores at {n} points of the mixed solvent (true: 0.5)",
            value,
            0.4,
            0.6,
            interval=interval,
            control=(float(np.mean([r["water"] for r in largest])), "points of water"),
            note=f"spread (standard deviation) at the smallest n {np.std(small, ddof=1):.2f}",
        )
    ]


def judged(exact: Row, rows: Sequence[Row]) -> list[Row]:
    """Every draw and method in numbers: torsion distance, energy distance (Kolmogorov), median excess energy (kT)."""
    truth, energies = np.array(exact["torsions"]), np.array(exact["energies"])
    return [
        {key: r.get(key) for key in ("n", "draw", "method", "weight", "outside", "pool", "pool_error", "least_ess")}
        | {"tv": variation(r["torsions"], truth)}
        | {"energy_distance": float(stats.ks_2samp(r["energies"], energies).statistic)}
        | {"excess": float(np.median(r["energies"]) - np.median(energies))}
        for r in rows
    ]


def _networks(exact: Row, rows: Sequence[Row]) -> list[Claim]:
    claims, found = [], judged(exact, rows)
    for n in sorted({r["n"] for r in found}):
        own = [r for r in found if r["n"] == n]
        for column, what in (("tv", "torsion total variation"), ("excess", "median excess energy, kT")):
            means = {
                m: np.mean([r[column] for r in own if r["method"] == m])
                for m in dict.fromkeys(r["method"] for r in own)
            }
            text = ", ".join(f"{method} {value:.3f}" for method, value in means.items())
            note = f"floor {exact['floor']:.3f}" if column == "tv" else ""
            claims.append(Claim(f"networks, n = {n}: {what}", text, note=note))
        value, interval = mean_interval([r["weight"] for r in own if r["method"] == "fused"])
        claims.append(Claim(f"networks, n = {n}: fitted weight of water (true: 0.5)", value, interval=interval))
    for method in ("corrected, true weights", "corrected"):
        runs = [r for r in found if r["method"] == method]
        value, interval = mean_interval([r["pool"] - exact["pool"] for r in runs], extra=exact["pool_error"])
        note = f"{len(runs)} runs, one pair of networks; least effective share {min(r['least_ess'] for r in runs):.3f}"
        name = f"free energy of the pool, {method}, with networks, minus exact, kT"
        claims.append(Claim(name, value, interval=interval, note=note))
    return claims


def _compositions(rows: Sequence[Row]) -> list[Claim]:
    between, outside = TARGETS
    claims = []
    for method in ("pool, likelihood", "pool, score matching"):
        gains = {t: [r["over_mixture"] for r in rows if (r["target"], r["method"]) == (t, method)] for t in TARGETS}
        error = max(r["over_mixture_stderr"] for r in rows if (r["target"], r["method"]) == (between, method))
        value, interval = mean_interval(gains[between], extra=error)
        claims.append(
            within(
                f"QM9, {between}: held-out gain of the {method}, over the mixture, nats",
                value,
                low=0.0,
                interval=interval,
                control=(float(np.mean(gains[outside])), f"target {outside}, not between the auxiliaries"),
                note=f"{len(gains[between])} draws of all n; {len({r['n'] for r in rows})} sizes",
            )
        )
    for target in TARGETS:
        for n in sorted({r["n"] for r in rows if r["target"] == target}):
            own = [r for r in rows if (r["target"], r["n"]) == (target, n) and not r["method"].startswith("aux")]
            methods = sorted({r["method"] for r in own})
            text = ", ".join(f"{m} {np.mean([r['nats'] for r in own if r['method'] == m]):.3f}" for m in methods)
            claims.append(Claim(f"QM9, {target}, n = {n}: held-out log-likelihood, nats a molecule", text))
    return claims
