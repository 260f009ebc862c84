r"""QM9, the cheaper case: laws of molecular properties by composition, as Gaussian mixtures, judged by held-out data.

The auxiliaries are mixtures of `COMPONENTS` Gaussians fitted to molecules with more oxygen than nitrogen and to those
with more nitrogen than oxygen; the target is a composition that neither has: as many of both (between them), or
molecules with fluorine (rare, and not between them). Twelve coordinates remain of the fifteen properties: the gap is
a difference of two others, the enthalpy is an energy plus a constant, and the third rotational constant of a flat
molecule is a function of the first two; energies enter as one energy and as differences to it. All are standardised
by the auxiliaries.

The pool's weights are fitted by score matching (:func:`sfbench.fuse`) or by likelihood, with log Z from draws of the
arithmetic mixture, which dominates the pool. Fine-tuning is the maximum-a-posteriori adaptation of a mixture (Gauvain
and Lee 1994): every component is averaged with what the data say of it, as if it rested on r earlier observations, with
r chosen by cross-validation. It starts from the fitted mixture of the auxiliaries, not from one of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import final

import numpy as np
from scipy.special import logsumexp

import sfbench
from sfbench._internal.aliases import Float64Array
from sfbench.data import data_entry, load_data
from solvers import LogPartitionObjective, solve
from synthetic import GaussianMixture, LogLinearPool, arithmetic_mixture

from ..common.study import Row, cell_rng, study_cells

PROCESS = sfbench.OrnsteinUhlenbeck()
AUXILIARIES = ("more O than N", "more N than O")
TARGETS = ("as many N as O", "with F")
COMPONENTS, FITTED, HELD_OUT = 8, 16_000, 800
_NODES, _FOLDS = 20_000, 4
_PRIOR_COUNTS = (1.0, 10.0, 100.0, 1e3, 1e4)
_SEED = 20_240_620


@final
@dataclass(frozen=True)
class CompositionSpec:
    """n molecules of a target."""

    target: str
    n: int
    draw: int
    seed: int


def coordinates(x: Float64Array) -> Float64Array:
    """Twelve coordinates (n, 12) of the properties (n, 15)."""
    column = {name: x[:, i] for i, name in enumerate(data_entry("qm9").columns)}
    energy = column["InternalEnergy_0K_au"]
    return np.stack(
        [
            *(np.log(column[name]) for name in ("RotA_GHz", "RotB_GHz", "R2_bohr2")),
            np.sqrt(np.maximum(column["Dipole_debye"], 0.0)),
            *(column[name] for name in ("Polarizability_bohr3", "HOMO_au", "LUMO_au", "ZPVE_au")),
            energy,
            column["InternalEnergy_298K_au"] - energy,
            column["GibbsFreeEnergy_298K_au"] - energy,
            column["Heatcapacity_Cv_cal_mol_K"],
        ],
        axis=1,
    )


@lru_cache(maxsize=1)
def _molecules() -> dict[str, Float64Array]:
    """Standardised coordinates by composition, in an order that a fixed seed shuffles."""
    x, y = load_data("qm9")
    order = np.random.default_rng(_SEED).permutation(len(x))
    q, y = coordinates(x)[order], y[order]
    names = data_entry("qm9").classes
    parts = {name: q[y == names.index(name)] for name in (*AUXILIARIES, *TARGETS)}
    both = np.concatenate([parts[name][:FITTED] for name in AUXILIARIES])
    mean, scale = both.mean(axis=0), both.std(axis=0)
    return {name: (part - mean) / scale for name, part in parts.items()}


@lru_cache(maxsize=1)
def auxiliaries() -> tuple[GaussianMixture, ...]:
    """The two fitted laws."""
    return tuple(fitted(_molecules()[name][:FITTED], COMPONENTS, 1e-4) for name in AUXILIARIES)


def fitted(x: Float64Array, components: int, ridge: float) -> GaussianMixture:
    """A mixture of full Gaussians by expectation maximisation."""
    from sklearn.mixture import GaussianMixture as Estimator

    found = Estimator(components, reg_covar=ridge, random_state=0, max_iter=300, tol=1e-3).fit(x)
    return GaussianMixture(found.weights_, found.means_, found.covariances_)


def likelihood_weights(laws: Sequence[GaussianMixture], x: Float64Array, rng: np.random.Generator) -> Float64Array:
    """Weights of the pool by maximum likelihood."""
    k = len(laws)
    nodes = arithmetic_mixture(laws, np.full(k, 1.0 / k)).sample(_NODES, rng=rng)
    logs, data = (np.stack([np.asarray(p.log_prob(v)) for p in laws], axis=1) for v in (nodes, x))
    base = logs[:, 0] - (logsumexp(logs, axis=1) - np.log(k)) - np.log(_NODES)
    objective = LogPartitionObjective(logs - logs[:, :1], base, (data - data[:, :1]).mean(axis=0))
    return np.asarray(solve(objective, "auto", tol=1e-9).weights)


def mixture_weights(laws: Sequence[GaussianMixture], x: Float64Array) -> Float64Array:
    """Weights of the arithmetic mixture by expectation maximisation."""
    logs = np.stack([np.asarray(p.log_prob(x)) for p in laws], axis=1)
    w = np.full(len(laws), 1.0 / len(laws))
    for _ in range(500):
        joint = np.log(np.maximum(w, 1e-300)) + logs
        w = np.exp(joint - logsumexp(joint, axis=1, keepdims=True)).mean(axis=0)
    return np.asarray(w / w.sum())


def adapted(start: GaussianMixture, x: Float64Array, prior_count: float) -> GaussianMixture:
    """The mixture after five rounds of maximum-a-posteriori adaptation to x (n, d)."""
    means, covariances = start.means, start.spectrum.dense()
    now, kept = start, start.weights * prior_count * len(start.weights)
    for _ in range(5):
        joint = _joint(now, x)
        share = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
        count = share.sum(axis=0)
        new_weights = (kept + count) / (kept + count).sum()
        total = prior_count + count
        new_means = (prior_count * means + share.T @ x) / total[:, None]
        centred = x[:, None] - new_means
        scatter = np.einsum("nm,nmi,nmj->mij", share, centred, centred, optimize=True)
        moved = means - new_means
        prior = covariances + moved[:, :, None] * moved[:, None, :]
        new_covariances = (prior_count * prior + scatter) / total[:, None, None]
        now = GaussianMixture(new_weights, new_means, new_covariances + 1e-6 * np.eye(x.shape[1]))
    return now


def _joint(law: GaussianMixture, x: Float64Array) -> Float64Array:
    """``log pi_j + log N_j(x)``, shape (n, m)."""
    covariances, parts = law.spectrum.dense(), []
    for weight, mean, covariance in zip(law.weights, law.means, covariances, strict=True):
        part = GaussianMixture([1.0], mean[None], covariance[None])
        parts.append(np.log(max(weight, 1e-300)) + np.asarray(part.log_prob(x)))
    return np.stack(parts, axis=1)


def cross_validated(
    x: Float64Array, candidates: Sequence[Callable[[Float64Array], GaussianMixture]]
) -> GaussianMixture:
    """The candidate with the best held-out likelihood over folds, made from all of x."""
    folds = np.arange(len(x)) % _FOLDS
    scores = [
        np.mean([np.mean(make(x[folds != f]).log_prob(x[folds == f])) for f in range(_FOLDS)]) for make in candidates
    ]
    return candidates[int(np.argmax(scores))](x)


def _scratch(x: Float64Array) -> GaussianMixture:
    counts = [m for m in (1, 2, 4, 8) if 12 * m <= len(x)]
    makers = [lambda v, m=m, r=r: fitted(v, m, r) for m in counts for r in (1e-3, 0.03, 0.3)]
    return cross_validated(x, makers)


@study_cells(version=1, factors=("target", "n", "method"), replicate="draw", name="molecules/compositions")
def run_composition(spec: CompositionSpec) -> list[Row]:
    """Held-out log-likelihood (nats a molecule) of every method at n molecules of the target."""
    rng, laws = cell_rng(spec), auxiliaries()
    molecules = _molecules()[spec.target]
    held_out, pool = molecules[:HELD_OUT], molecules[HELD_OUT:]
    x = pool[rng.choice(len(pool), spec.n, replace=False)]
    fit = sfbench.fuse(laws, x, process=PROCESS, rng=rng)
    by_likelihood, mixing = likelihood_weights(laws, x, rng), mixture_weights(laws, x)
    mixed = arithmetic_mixture(laws, mixing)
    grid = [lambda v, r=r: adapted(mixed, v, r) for r in _PRIOR_COUNTS]
    found: dict[str, tuple[GaussianMixture | LogLinearPool, Float64Array]] = {
        "pool, score matching": (LogLinearPool(laws, fit.weights), fit.weights),
        "pool, likelihood": (LogLinearPool(laws, by_likelihood), by_likelihood),
        "mixture": (mixed, mixing),
        "fine-tuned": (cross_validated(x, grid), mixing),
        "from scratch": (_scratch(x), np.zeros(0)),
    }
    for name, law in zip(AUXILIARIES, laws, strict=True):
        found[f"auxiliary: {name}"] = (law, np.zeros(0))
    logs = {method: np.asarray(law.log_prob(held_out)) for method, (law, _) in found.items()}
    root = np.sqrt(len(held_out))
    return [
        {"target": spec.target, "n": spec.n, "draw": spec.draw, "method": method}
        | {"nats": float(logs[method].mean()), "stderr": float(logs[method].std(ddof=1) / root)}
        | {"over_mixture": float((logs[method] - logs["mixture"]).mean())}
        | {"over_mixture_stderr": float((logs[method] - logs["mixture"]).std(ddof=1) / root)}
        | {"weights": np.round(weights, 5).tolist(), "adequacy_p": _p_value(fit)}
        for method, (_, weights) in found.items()
    ]


def _p_value(fit: sfbench.FusionResult) -> float | None:
    judged = fit.adequacy
    return float(judged.p_value) if judged is not None and np.isfinite(judged.p_value) else None
