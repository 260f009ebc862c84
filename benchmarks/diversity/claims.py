"""The claims of ``python -m benchmarks.diversity``, each beside a control that must fail it."""

from collections.abc import Sequence

import numpy as np

from ..common.claims import Claim, within
from ..common.rows import pick
from ..common.study import Row, loglog_slope

Tables = dict[str, list[Row]]


def evaluate_claims(tables: Tables) -> list[Claim]:
    """All claims on the tables."""
    return [
        *_entropy(tables["gaussians"], tables["modes"]),
        *_middle(tables["modes"]),
        *_weights(tables["weights"]),
        *_samples(tables["samples"]),
    ]


def second_differences(rows: Sequence[Row], law: str) -> np.ndarray:
    """Second differences of the entropy along the segments, all of them."""
    found = []
    for key in sorted({(r["kind"], r["d"], r["seed"]) for r in rows}):
        own = pick(rows, kind=key[0], d=key[1], seed=key[2], law=law)
        values = [r["entropy"] for r in sorted(own, key=lambda r: r["weight"])]
        found.append(np.diff(values, 2) / max(abs(values[0]), 1.0))
    return np.concatenate(found)


def _entropy(rows: Sequence[Row], modes: Sequence[Row]) -> list[Claim]:
    pools = pick(rows, law="p_w")
    kept = [r for r in modes if 0 < r["shared"] < 0.1]
    # At weights 0, 1/2, 1 with both ends alike: negative where the middle of the segment is wider.
    bent = min(2.0 * (r["entropy_auxiliary"] - r["entropy_p_w"]) for r in kept)
    over = max(r["entropy"] - r["mean_entropy"] for r in pools)
    gap = {
        kind: max(abs(r["entropy"] - r["mean_entropy"] - r["log_z"]) / r["d"] for r in pick(pools, kind=kind))
        for kind in ("concentric", "shifted")
    }
    claims = [
        within(
            "Gaussians: least second difference of the entropy of p_w along a segment (it is convex there)",
            float(second_differences(rows, "p_w").min()),
            low=-1e-9,
            control=(bent, "two modes in opposite shares"),
        ),
        within(
            "Gaussians: entropy of p_w above the mean entropy of the auxiliaries, largest",
            over,
            high=1e-6,
            control=(max(r["entropy_p_w"] - r["entropy_auxiliary"] for r in kept), "two modes in opposite shares"),
        ),
        within(
            "concentric Gaussians: | entropy lost + log Z | per dimension, largest",
            gap["concentric"],
            high=1e-9,
            control=(gap["shifted"], "shifted Gaussians: Z < 1 and no entropy lost"),
        ),
    ]
    slopes = {}
    for kind in ("concentric", "shifted"):
        own = pick(pools, kind=kind, weight=0.5)
        # In few dimensions a geometry has few variances to average over.
        d, seeds = sorted({r["d"] for r in own if r["d"] >= 8}), sorted({r["seed"] for r in own})
        loss = [[-pick(own, d=x, seed=s)[0]["log_z"] for x in d] for s in seeds]
        slopes[kind] = loglog_slope([float(x) for x in d], np.array(loss))
    slope, low, high = slopes["concentric"]
    claims.append(
        within(
            "exponent of -log Z in d, growing rank, from d = 8",
            slope,
            0.85,
            1.15,
            interval=(low, high),
            control=(slopes["shifted"][0], "fixed rank"),
        )
    )
    for kind in ("shifted", "concentric", "both"):
        largest = max(r["d"] for r in pick(rows, kind=kind))
        own = pick(rows, kind=kind, weight=0.5, d=largest)
        ends = {
            law: float(np.mean([r["entropy"] - r["mean_entropy"] for r in pick(own, law=law)])) / largest
            for law in ("p_w", "P_w", "mixture", "merged")
        }
        name = f"entropy above the auxiliaries' mean, per dimension, {kind}, d = {largest}, w = 1/2"
        claims.append(Claim(name, ", ".join(f"{law} {value:+.4f}" for law, value in ends.items())))
    return claims


def _middle(rows: Sequence[Row]) -> list[Claim]:
    apart = [r for r in rows if r["a"] >= 4]
    errors = {law: max(abs(r[f"middle_{law}"] - r["predicted"]) for r in apart) for law in ("p_w", "P_w", "mixture")}
    shared = [r for r in apart if r["shared"] > 0]
    more = [r["middle_P_w"] - r["middle_p_w"] for r in shared]
    half = [r for r in apart if r["predicted"] < 0.5]
    return [
        within(
            "mass between modes under p_w: largest distance from the prediction (a >= 4)",
            errors["p_w"],
            high=0.03,
            control=(errors["mixture"], "the arithmetic mixture's"),
        ),
        within(
            "mass between modes that both auxiliaries have: fused law over barycenter, largest difference",
            max(more),
            low=0.3,
            control=(max(r["middle_mixture"] - r["middle_p_w"] for r in shared), "mixture over barycenter"),
            note=f"positive in {sum(m > 0.01 for m in more)} of {len(more)} cells",
        ),
        Claim(
            "largest mass between modes under the fused law where the barycenter is predicted to have less than half",
            max(r["middle_P_w"] for r in half),
        ),
    ]


def _weights(rows: Sequence[Row]) -> list[Claim]:
    own, control = pick(rows, control=False), pick(rows, control=True)
    near = {name: [r[f"from_{name}"] < 0.05 for r in own] for name in ("entropy", "vendi")}
    return [
        within(
            f"share of problems whose fitted weights have the largest {words}",
            float(np.mean(near[name])),
            high=0.1,
            control=(float(np.mean([r[f"from_{name}"] < 0.05 for r in control])), "target: the widest auxiliary"),
        )
        for name, words in (("entropy", "entropy"), ("vendi", "Vendi score"))
    ] + [
        within(
            "entropy floor: most that the constrained weights are below it (nats)",
            max(r["floor"] - r["reached"] for r in own),
            high=1e-3,
            control=(max(r["floor"] - r["without"] for r in own), "without the constraint"),
            note=f"median KL from the target {np.median([r['kl'] for r in own]):.3g}; "
            f"of the widest auxiliary {np.median([r['kl_vertex'] for r in own]):.3g}",
        ),
        within(
            "minimax weights: largest spread of KL(p_w || p_i) over the auxiliaries in use",
            max(r["minimax_spread"] for r in own),
            high=1e-4,
            control=(max(r["equal_spread"] for r in own), "equal weights"),
            note=f"median largest KL {np.median([r['minimax'] for r in own]):.3g}, "
            f"equal weights {np.median([r['minimax_equal'] for r in own]):.3g}",
        ),
    ]


def _samples(rows: Sequence[Row]) -> list[Claim]:
    low, high = min(r["d"] for r in rows), max(r["d"] for r in rows)

    def coverage(kind: str, d: int, law: str) -> float:
        return float(np.mean([r["coverage"] for r in pick(rows, kind=kind, d=d, law=law)]))

    return [
        within(
            f"coverage by samples of p_w, shifted, d = {low}",
            coverage("shifted", low, "p_w"),
            high=0.75,
            control=(coverage("shifted", low, "mixture"), "mixture"),
        ),
        Claim(
            f"coverage and entropy disagree: concentric, d = {high}",
            ", ".join(f"{law} {coverage('concentric', high, law):.3f}" for law in ("p_w", "P_w", "mixture", "merged")),
            note="narrower laws are counted as covering more",
        ),
    ]
