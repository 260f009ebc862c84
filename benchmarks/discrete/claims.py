"""The claims of ``python -m benchmarks.discrete``, each beside a control that must fail it."""

from collections.abc import Sequence

import numpy as np

from ..common.claims import Claim, within
from ..common.rows import mean, pick
from ..common.study import Row

Tables = dict[str, list[Row]]
# Beyond 9 states the histogram of 20,000 direct draws is itself 0.01 off.
_SMALL = ("chains, 4 states", "mixtures, 9 states", "Potts, 8 states")


def evaluate_claims(tables: Tables) -> list[Claim]:
    """All claims on the tables."""
    return [
        *_laws(tables["laws"]),
        *_fits(tables["fits"]),
        *_lengths(tables["lengths"]),
        *_peers(tables["peers"]),
        *_bounds(tables["bounds"]),
    ]


def _laws(rows: Sequence[Row]) -> list[Claim]:
    claims = []
    cells = list(dict.fromkeys((r["problem"], r["noise"]) for r in rows if r["problem"] in _SMALL))
    means = {cell: np.mean([r["tv_corrected"] for r in pick(rows, problem=cell[0], noise=cell[1])]) for cell in cells}
    off = min(r["exact_fused"] for r in rows)
    worst = max(means, key=lambda cell: means[cell])
    largest = max(r["tv_corrected"] for r in rows if r["problem"] in _SMALL)
    floor = max(r["floor"] for r in rows if r["problem"] in _SMALL)
    control = float(min(np.mean([r["tv_fused"] for r in pick(rows, problem=p, noise=z)]) for p, z in cells))
    claims.append(
        within(
            "corrected: TV to the enumerated barycenter, worst mean over seeds",
            float(means[worst]),
            high=0.01,
            control=(control, "fused chain at its best"),
            note=f"up to 9 states, n = {rows[0]['n']:,}; worst run {largest:.4f}; direct draws up to {floor:.4f}",
        )
    )
    claims.append(within("fused chain: least exact TV to the barycenter", off, low=0.03, note="Kolmogorov's equation"))
    ising = [r for r in rows if r["problem"] not in _SMALL]
    excess, fused = (float(np.mean([r[key] - r["floor"] for r in ising])) for key in ("tv_corrected", "tv_fused"))
    claims.append(
        within("Ising 2 x 2: mean TV above that of direct draws", excess, high=0.01, control=(fused, "fused chain"))
    )
    scores = [abs(r["log_z"] - r["truth"]) / r["log_z_error"] for r in rows]
    other = min(abs(r["truth"]) / r["log_z_error"] for r in rows)
    claims.append(
        within("log Z: largest error in standard errors", max(scores), high=4.0, control=(other, "log Z = 0"))
    )
    named = max(r["own_switched"] - r["floor"] for r in rows)
    far = float(min(r["tv_switched"] - r["floor"] for r in rows))
    claims.append(
        within(
            "switched: TV to the law of the averaged rates, above direct draws",
            named,
            high=0.01,
            control=(far, "to the barycenter"),
        )
    )
    return claims


def _fits(rows: Sequence[Row]) -> list[Claim]:
    claims = [
        within(
            "fits: largest certified gap",
            max(r["gap"] for r in rows),
            high=1e-6,
            control=(min(r["gap_equal"] for r in rows), "equal weights at their least"),
            note=f"{len(rows)} fits",
        )
    ]
    for noise, objective in dict.fromkeys((r["noise"], r["objective"]) for r in rows):
        chosen = pick(rows, noise=noise, objective=objective)
        sizes = sorted({r["n"] for r in chosen})
        label = f"{noise}, {objective}"
        # Weights of one fit sum to 1 and miss together: the fits are counted, not the weights.
        cover = {n: np.array([r["covered"] for r in pick(chosen, n=n)]) for n in sizes}
        errors = {n: float(v.std(ddof=1)) / np.sqrt(len(v)) for n, v in cover.items()}
        text = "; ".join(f"n = {n:,}: {v.mean():.2f} +- {errors[n]:.2f}" for n, v in cover.items())
        highest = {n: float(v.mean()) + 2.0 * errors[n] for n, v in cover.items()}
        least = min(highest, key=highest.__getitem__)
        claims.append(
            within(
                f"{label}: share of weights in their 90 % intervals",
                mean(chosen, "covered"),
                low=0.8,
                control=(mean(chosen, "covered_halved"), "intervals of half the length"),
                note=f"{len(chosen)} fits; {text}",
            )
        )
        claims.append(
            within(
                f"{label}: least covered n, two standard errors (over fits) above its share",
                highest[least],
                low=0.85,
                note=f"n = {least:,}",
            )
        )
        tv = [float(np.sqrt(np.mean([r["tv"] ** 2 for r in pick(chosen, n=n)]))) for n in sizes]
        slope = float(np.polyfit(np.log(sizes), np.log(tv), 1)[0])
        text = ", ".join(f"n = {n:,}: {value:.4f}" for n, value in zip(sizes, tv, strict=True))
        claims.append(
            within(f"{label}: slope of TV against n", slope, -0.65, -0.35, control=(-0.25, "slow rate"), note=text)
        )
        claims.append(Claim(f"{label}: TV of the best pool of the window to the target", chosen[0]["tv_truth"]))
    return claims


def _lengths(rows: Sequence[Row]) -> list[Claim]:
    lengths = sorted({r["length"] for r in rows})
    text = []
    keys = ("founders", "pair_tv_corrected", "pair_tv_fused", "pair_tv_floor")
    for length in lengths:
        chosen = pick(rows, length=length)
        founders, ours, fused, floor = (float(np.mean([r[key] for r in chosen])) for key in keys)
        error = float(np.mean([abs(r["log_z"] - r["truth"]) for r in chosen]))
        text.append(
            f"L = {length}: pairs {ours:.4f} (fused {fused:.4f}, direct {floor:.4f}), log Z off by {error:.3f}, "
            f"{founders:.0f} founders"
        )
    dead = [length for length in lengths if not any(r["trusted"] for r in pick(rows, length=length))]
    longest = max((length for length in lengths if all(r["trusted"] for r in pick(rows, length=length))), default=0)
    trusted = [r for r in rows if r["trusted"]]
    worst = max((r["pair_tv_corrected"] for r in trusted), default=float("nan"))
    control = min(r["pair_tv_fused"] for r in rows)
    died = f"{dead[0]}" if dead else f"above {lengths[-1]}"
    return [
        Claim(
            "length up to which every run is trusted; from which none is", f"{longest}; {died}", note="; ".join(text)
        ),
        within(
            "trusted runs: worst TV of neighbouring pairs",
            worst,
            high=0.03,
            control=(control, "fused chain at its best"),
            note=f"{len(trusted)} of {len(rows)} runs trusted",
        ),
    ]


def _peers(rows: Sequence[Row]) -> list[Claim]:
    claims = []
    for steps in sorted({r["n_steps"] for r in rows}):
        chosen = pick(rows, n_steps=steps)
        ours, theirs = (float(np.mean([r[f"tv_{name}"] for r in chosen])) for name in ("ours", "clamped"))
        zs = tuple(float(np.mean([r[f"log_z_{name}"] for r in chosen])) for name in ("ours", "clamped"))
        claims.append(
            within(
                f"first-hitting over the clamped scheme of {steps} steps: ratio of TV at equal evaluations",
                ours / theirs,
                high=1.0,
                note=f"TV {ours:.4f} and {theirs:.4f}; error of log Z {zs[0]:.4f} and {zs[1]:.4f}",
            )
        )
    return claims


def _bounds(rows: Sequence[Row]) -> list[Claim]:
    ratios = [r["kl_fused"] / r["bound"] for r in rows]
    control = max(r["kl_switched"] / r["bound"] for r in rows)
    return [
        within(
            "certificate: largest KL over bound",
            max(ratios),
            high=1.0 + 1e-6,
            control=(control, "switched chain under the fused bound"),
            note=f"{len(rows)} cells, least {min(ratios):.3f}",
        )
    ]
