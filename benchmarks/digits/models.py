"""Data and networks of the digits study: pools, one base network, four auxiliaries fine-tuned from it, as cells.

The auxiliaries are fine-tunes of one base network, as in practice (adapters, fine-tunes of one foundation model), not
four trainings from scratch: on two cores that buys networks whose differences are larger than their errors.
"""

import time
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, final

import numpy as np

from sfbench._internal.aliases import Float64Array
from sfbench.data import data_entry, load_data, make_populations
from sfbench.experiments import study_folder
from sfbench.laws.likelihood import DataScaling
from sfbench.nets import NetworkScore, TrainingSettings, build_network, train_score_network
from sfbench.processes import VariancePreserving

from ..common.networks import NetworkRef, device, load_network, reference
from ..common.study import Row, study_cells

PROCESS = VariancePreserving()
SHARES = (0.1, 0.3, 0.7, 0.9)
TARGET_SHARE = 0.6
SEVEN, NINE = 7, 9
T_MIN = 1e-3


@final
@dataclass(frozen=True)
class Training:
    """Everything that the networks depend on besides the seed."""

    cell_name = "benchmarks.digits_models:Training"  # of the results that are kept; the file may move

    data: str
    network: str
    options: tuple[tuple[str, Any], ...]
    auxiliary_n: int
    disjoint: bool
    base_steps: int
    auxiliary_steps: int
    batch: int

    @property
    def levels(self) -> int:
        """Number of integer levels of a pixel."""
        return data_entry(self.data).top + 1

    @property
    def scaling(self) -> DataScaling:
        """Dequantised pixels in [0, levels) to [-1, 1)."""
        return DataScaling(self.levels / 2, self.levels / 2)


@final
@dataclass(frozen=True)
class Evaluation:
    """How methods are run and judged."""

    cell_name = "benchmarks.digits_models:Evaluation"

    target_steps: int
    held_out: int
    generated: int
    sampler_steps: int
    likelihood_points: int
    likelihood_steps: int


@final
@dataclass(frozen=True)
class Study:
    """Networks, judgement, and the grid of sample sizes and draws."""

    training: Training
    evaluation: Evaluation
    sizes: tuple[int, ...]
    draws: int


QUICK = Study(
    Training(
        data="digits8",
        network="mlp",
        options=(("dim", 64), ("width", 128), ("depth", 2)),
        auxiliary_n=110,
        disjoint=False,
        base_steps=1200,
        auxiliary_steps=300,
        batch=64,
    ),
    Evaluation(
        target_steps=400, held_out=40, generated=300, sampler_steps=40, likelihood_points=40, likelihood_steps=16
    ),
    sizes=(16, 48),
    draws=2,
)
SMALL = Study(
    replace(QUICK.training, base_steps=3000, auxiliary_steps=600),
    replace(QUICK.evaluation, target_steps=800, generated=500, sampler_steps=48),
    sizes=(16, 32, 48),
    draws=5,
)
FULL = Study(
    Training(
        data="mnist",
        network="unet",
        options=(("shape", (1, 28, 28)), ("channels", (32, 32)), ("layers", 1), ("patch", 2)),
        auxiliary_n=2800,
        disjoint=True,
        base_steps=6000,
        auxiliary_steps=1200,
        batch=64,
    ),
    Evaluation(
        target_steps=700, held_out=300, generated=400, sampler_steps=40, likelihood_points=32, likelihood_steps=12
    ),
    sizes=(64, 256, 1024),
    draws=3,
)
STUDIES = {"digits8": SMALL, "mnist": FULL}


@final
@dataclass(frozen=True, eq=False)
class Pools:
    """Raw levels of sevens and nines: for auxiliaries, and of other images (MNIST: other writers) for the target."""

    train_x: Float64Array
    train_y: np.ndarray
    target_x: Float64Array
    target_y: np.ndarray


@lru_cache(maxsize=2)
def load_pools(data: str, seed: int) -> Pools:
    """Sevens and nines; data with a test split use it for the target, others are split by halves of each class."""
    if "test" in data_entry(data).splits:
        parts = [load_data(data, "train"), load_data(data, "test")]
        (a, b), (c, d) = ((x[np.isin(y, (SEVEN, NINE))], y[np.isin(y, (SEVEN, NINE))]) for x, y in parts)
        return Pools(a, b, c, d)
    x, y = load_data(data)
    kept = np.isin(y, (SEVEN, NINE))
    x, y = x[kept], y[kept]
    order = np.random.default_rng([seed, 77]).permutation(len(x))
    cut = len(x) - 110  # the target side: 48 shown and 40 held out, 60 % of them sevens, need 53 of a class
    first, second = order[:cut], order[cut:]
    return Pools(x[first], y[first], x[second], y[second])


def dequantised(raw: Float64Array, training: Training, rng: np.random.Generator) -> Float64Array:
    """Integer levels with uniform noise in [0, 1), in the networks' coordinates."""
    return np.asarray(training.scaling.apply(raw + rng.random(raw.shape)))


@lru_cache(maxsize=1)
def populations(training: Training, seed: int) -> tuple[list[Float64Array], list[Float64Array]]:
    """Training data and held-out data (a tenth) of the auxiliaries, dequantised."""
    pools, rng = load_pools(training.data, seed), np.random.default_rng([seed, 0])
    mixes = [{SEVEN: s, NINE: 1.0 - s} for s in SHARES]
    drawn = make_populations(
        pools.train_x, pools.train_y, mixes, training.auxiliary_n, disjoint=training.disjoint, rng=rng
    )
    data = [dequantised(x, training, rng) for x, _, _ in drawn]
    cut = max(1, training.auxiliary_n // 10)
    return [x[cut:] for x in data], [x[:cut] for x in data]


@final
@dataclass(frozen=True)
class TrainingSpec:
    """One network: the base of all, or an auxiliary that is fine-tuned from it."""

    name: str
    training: Training
    seed: int
    base: NetworkRef | None = None


def training_specs(training: Training, seed: int, base: NetworkRef) -> list[TrainingSpec]:
    """The auxiliaries."""
    return [TrainingSpec(f"auxiliary_{i}", training, seed, base) for i in range(len(SHARES))]


@study_cells(version=1, factors=("name",), volatile=("train_s",), name="benchmarks.digits_models:train_network")
def train_network(spec: TrainingSpec) -> Row:
    """Train one network into the folder of the study."""
    began, training = time.process_time(), spec.training
    shown, held_out = populations(training, spec.seed)
    if spec.base is None:
        network = build_network(training.network, dict(training.options), process=PROCESS, seed=spec.seed)
        x, validation, stream = np.concatenate(shown), np.concatenate(held_out), 1
        settings = TrainingSettings(
            steps=training.base_steps,
            batch=training.batch,
            learning_rate=1e-3,
            ema=0.998,
            t_min=T_MIN,
            validation_draws=4,
            validate_every=250,
            checkpoint_every=250,
            patience=0,
        )
    else:
        network, i = load_network(spec.base, PROCESS).module, int(spec.name.removeprefix("auxiliary_"))
        x, validation, stream = shown[i], held_out[i], 2 + i
        settings = TrainingSettings(
            steps=training.auxiliary_steps,
            batch=training.batch,
            learning_rate=5e-4,
            ema=0.99,
            t_min=T_MIN,
            validation_draws=8,
            validate_every=100,
            checkpoint_every=250,
            patience=0,
        )
    result = train_score_network(
        network,
        x,
        settings,
        validation=validation,
        folder=study_folder() / spec.name,
        process=PROCESS,
        device=device(),
        rng=np.random.default_rng([spec.seed, stream]),
    )
    return {
        "name": spec.name,
        "sha256": reference(spec.name).sha256,
        "parameters": count_parameters(result.score),
        "n": len(x),
        "steps": result.steps,
        "best_step": result.best_step,
        "validation_loss": result.best_loss,
        "train_s": time.process_time() - began,
    }


def count_parameters(score: NetworkScore) -> int:
    """Number of trained numbers."""
    return sum(p.numel() for p in score.module.parameters())
