"""Cells with networks: trained on the auxiliaries' chains in internal coordinates; every method at n target samples.

One base network learns vacuum and water together; the two auxiliaries are fine-tuned from it, so that their
difference is larger than their errors, and merging their parameters has its best chance. All methods draw with the
same sampler, steps and number of points, and are judged in the molecule: torsions on phi < 0, exact energies in the
mixed solvent.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import process_time
from typing import Any, final

import numpy as np

import sfbench
from sfbench._internal.aliases import Float64Array
from sfbench.baselines.networks import average_checkpoints, nearest
from sfbench.data.alanine import torsions
from sfbench.experiments import study_folder
from sfbench.nets import NetworkScore, TrainingSettings, build_network, denoising_loss, train_score_network
from sfbench.processes import VariancePreserving

from ..common.networks import NetworkRef, device, load_network, reference
from ..common.study import Row, cell_rng, study_cells
from .data import ALL, OWN, cartesian, chain, histogram, law, points, standardised
from .internal import DIM

PROCESS = VariancePreserving()
T_MIN = 1e-3
AUXILIARIES = ("vacuum", "water")
_TEST_SHARE = 0.1
_LEVELS = (np.arange(200) + 0.5) / 200


@final
@dataclass(frozen=True)
class Setting:
    """Size of everything."""

    width: int
    depth: int
    base_steps: int
    auxiliary_steps: int
    tuning_steps: int
    scratch_steps: int
    generated: int
    sampler_steps: int
    seed: int


@final
@dataclass(frozen=True)
class NetworkSpec:
    """One network: the base, or an auxiliary fine-tuned from it."""

    name: str
    setting: Setting
    base: NetworkRef | None = None


@final
@dataclass(frozen=True)
class DrawSpec:
    """n samples of the mixed solvent."""

    n: int
    draw: int
    setting: Setting
    networks: tuple[NetworkRef, ...]


@study_cells(version=1, factors=("name",), volatile=("train_s",), name="molecules/network")
def train_network(spec: NetworkSpec) -> Row:
    """Train one network into the folder of the study; the last tenth of every chain validates."""
    began, setting = process_time(), spec.setting
    solvents = AUXILIARIES if spec.base is None else (spec.name,)
    shown, held = (np.concatenate(v) for v in zip(*(_split(s, c) for s in solvents for c in ALL), strict=True))
    if spec.base is None:
        options = {"dim": DIM, "width": setting.width, "depth": setting.depth}
        start: Any = build_network("mlp", options, process=PROCESS, seed=setting.seed)
        steps, rate = setting.base_steps, 2e-3
    else:
        start, steps, rate = load_network(spec.base, PROCESS).module, setting.auxiliary_steps, 7e-4
    result = train_score_network(
        start,
        standardised(shown),
        TrainingSettings(steps=steps, batch=256, learning_rate=rate, t_min=T_MIN, ema=0.998, validate_every=500),
        validation=standardised(held),
        folder=study_folder() / spec.name,
        process=PROCESS,
        device=device(),
        rng=np.random.default_rng([setting.seed, len(spec.name)]),
    )
    return {
        "name": spec.name,
        "sha256": reference(spec.name).sha256,
        "n": len(shown),
        "steps": result.steps,
        "best_step": result.best_step,
        "loss": result.best_loss,
        "train_s": process_time() - began,
    }


def _split(solvent: str, number: int) -> tuple[Float64Array, Float64Array]:
    x = chain(solvent, number)
    cut = round((1 - _TEST_SHARE) * len(x))
    return x[:cut], x[cut:]


@study_cells(version=1, factors=("n", "method"), replicate="draw", volatile=("cpu_s",), name="molecules/methods")
def run_draw(spec: DrawSpec) -> list[Row]:
    """All methods that depend on n target samples, and those that do not, judged."""
    rng, setting = cell_rng(spec), spec.setting
    models = [load_network(ref, PROCESS) for ref in spec.networks]
    pool = points("mixed", OWN)
    x = standardised(pool[rng.choice(len(pool), spec.n, replace=False)])
    fit = sfbench.fuse(models, x, process=PROCESS, t_min=T_MIN, rng=rng)
    by_loss = nearest(fit.gram)
    w = fit.weights
    tuned = _trained(models[by_loss].module, x, setting.tuning_steps, 5e-4, rng)
    options = {"dim": DIM, "width": 64, "depth": 2}
    scratch = _trained(
        build_network("mlp", options, process=PROCESS, seed=spec.draw), x, setting.scratch_steps, 2e-3, rng
    )
    shared = {"n": spec.n, "draw": spec.draw, "weight": float(w[1])}
    rows = []

    def judged(method: str, source: Any, sampler: str = "fused") -> None:
        began = process_time()
        rows.append(shared | {"method": method} | _judge(source, sampler, setting, rng))
        rows[-1]["cpu_s"] = process_time() - began

    fused = sfbench.FusedScore(models, w, process=PROCESS)
    judged("fused", fused)
    judged("corrected", fused, "corrected")
    judged("fused, true weights", sfbench.FusedScore(models, [0.5, 0.5], process=PROCESS))
    judged("corrected, true weights", sfbench.FusedScore(models, [0.5, 0.5], process=PROCESS), "corrected")
    judged("mixture", (models, w))
    judged("merged", average_checkpoints(models, w))
    judged("fine-tuned", tuned)
    judged("from scratch", scratch)
    judged("nearest", models[by_loss])
    return rows


def _trained(start: Any, x: Float64Array, steps: int, rate: float, rng: np.random.Generator) -> NetworkScore:
    """Trained on four fifths of x, stopped by the rest; the start itself where training does not help."""
    held = max(4, len(x) // 5)
    settings = TrainingSettings(
        steps=steps,
        batch=min(128, len(x)),
        learning_rate=rate,
        t_min=T_MIN,
        ema=0.99,
        validate_every=100,
        patience=4,
        validation_draws=max(4, 512 // len(x)),
    )
    result = train_score_network(
        start, x[held:], settings, validation=x[:held], process=PROCESS, device=device(), rng=rng
    )
    before = replace(result.score, module=start)
    seed = int(rng.integers(2**31))
    losses = [denoising_loss(s, x[:held], t_min=T_MIN, n_draws=16, rng=seed)[0] for s in (before, result.score)]
    return result.score if losses[1] <= losses[0] else before


def _judge(source: Any, sampler: str, setting: Setting, rng: np.random.Generator) -> Row:
    """Torsions and energies of `generated` points, and the free energy that a corrected run reports."""
    steps = sfbench.time_steps(PROCESS, setting.sampler_steps, t_min=T_MIN)
    if isinstance(source, tuple):
        models, w = source
        counts = np.round(np.asarray(w) * setting.generated).astype(int)
        parts = [_draw(m, int(c), "fused", steps, rng) for m, c in zip(models, counts, strict=True) if c]
        results: Sequence[sfbench.SampleResult] = parts
    else:
        results = [_draw(source, setting.generated, sampler, steps, rng)]
    y = np.concatenate([r.resampled(rng=rng) for r in results])
    x = cartesian(y)
    angles, energies = torsions(x), law(0.5).energy(x)
    found: Row = {
        "torsions": histogram(angles).tolist(),
        "outside": float(np.mean(angles[:, 0] >= 0)),
        "energies": np.quantile(energies, _LEVELS).round(4).tolist(),
    }
    diagnostics = results[0].diagnostics
    if diagnostics.log_partition is not None:
        found |= {"pool": diagnostics.log_partition.value, "pool_error": diagnostics.log_partition.stderr}
        found |= {"least_ess": float(np.min(np.asarray(diagnostics.ess))), "founders": diagnostics.founders}
    return found


def _draw(source: Any, n: int, sampler: str, steps: Any, rng: np.random.Generator) -> sfbench.SampleResult:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sfbench.sampling.TrustWarning)  # what they say is in the row
        return sfbench.sample(source, n, sampler, process=PROCESS, steps=steps, check_steps=False, rng=rng)
