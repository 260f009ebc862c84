"""Data and networks of the digits study: pools, one base network, four auxiliaries fine-tuned from it.

The auxiliaries are fine-tunes of one base network, as in practice (adapters, fine-tunes of one foundation model), not
four trainings from scratch: on two cores that buys networks whose differences are larger than their errors.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np

from sfbench._typing import Float64Array
from sfbench.data import data_entry, load_data, make_populations
from sfbench.laws.likelihood import DataScaling
from sfbench.nets import NetworkScore, TrainingSettings, build_network, train_score_network
from sfbench.processes import VariancePreserving

PROCESS = VariancePreserving()
SHARES = (0.1, 0.3, 0.7, 0.9)
TARGET_SHARE = 0.6
SEVEN, NINE = 7, 9


@final
@dataclass(frozen=True)
class Study:
    """Sizes of a study; everything that a checkpoint depends on."""

    data: str
    network: str
    options: tuple[tuple[str, Any], ...]
    auxiliary_n: int
    disjoint: bool
    base_steps: int
    auxiliary_steps: int
    target_steps: int
    batch: int
    sizes: tuple[int, ...]
    draws: int
    held_out: int
    generated: int
    sampler_steps: int
    likelihood_points: int
    likelihood_steps: int

    @property
    def levels(self) -> int:
        """Number of integer levels of a pixel."""
        return data_entry(self.data).top + 1

    @property
    def scaling(self) -> DataScaling:
        """Dequantised pixels in [0, levels) to [-1, 1)."""
        return DataScaling(self.levels / 2, self.levels / 2)


QUICK = Study(
    data="digits8",
    network="mlp",
    options=(("dim", 64), ("width", 128), ("depth", 2)),
    auxiliary_n=110,
    disjoint=False,
    base_steps=1200,
    auxiliary_steps=300,
    target_steps=400,
    batch=64,
    sizes=(16, 48),
    draws=2,
    held_out=40,
    generated=300,
    sampler_steps=40,
    likelihood_points=40,
    likelihood_steps=16,
)
SMALL = replace(
    QUICK,
    base_steps=3000,
    auxiliary_steps=600,
    target_steps=800,
    sizes=(16, 32, 48),
    draws=5,
    generated=500,
    sampler_steps=48,
)
FULL = Study(
    data="mnist",
    network="unet",
    options=(("shape", (1, 28, 28)), ("channels", (32, 32)), ("layers", 1), ("patch", 2)),
    auxiliary_n=2800,
    disjoint=True,
    base_steps=6000,
    auxiliary_steps=1200,
    target_steps=700,
    batch=64,
    sizes=(64, 256, 1024),
    draws=3,
    held_out=300,
    generated=256,
    sampler_steps=40,
    likelihood_points=32,
    likelihood_steps=12,
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


def load_pools(study: Study, seed: int) -> Pools:
    """Sevens and nines; data with a test split use it for the target, others are split by halves of each class."""
    if "test" in data_entry(study.data).splits:
        parts = [load_data(study.data, "train"), load_data(study.data, "test")]
        (a, b), (c, d) = ((x[np.isin(y, (SEVEN, NINE))], y[np.isin(y, (SEVEN, NINE))]) for x, y in parts)
        return Pools(a, b, c, d)
    x, y = load_data(study.data)
    kept = np.isin(y, (SEVEN, NINE))
    x, y = x[kept], y[kept]
    order = np.random.default_rng([seed, 77]).permutation(len(x))
    cut = len(x) - 110  # the target side: 48 shown and 40 held out, 60 % of them sevens, need 53 of a class
    first, second = order[:cut], order[cut:]
    return Pools(x[first], y[first], x[second], y[second])


def dequantised(raw: Float64Array, study: Study, rng: np.random.Generator) -> Float64Array:
    """Integer levels with uniform noise in [0, 1), in the networks' coordinates."""
    return study.scaling.apply(raw + rng.random(raw.shape))


def train_auxiliaries(
    study: Study, pools: Pools, folder: Path, *, seed: int, device: str, progress: bool
) -> tuple[NetworkScore, list[NetworkScore], list[Float64Array]]:
    """Base network, auxiliaries, and held-out data of each auxiliary; resumes from ``folder``."""
    rng = np.random.default_rng([seed, 0])
    mixes = [{SEVEN: s, NINE: 1.0 - s} for s in SHARES]
    populations = make_populations(
        pools.train_x, pools.train_y, mixes, study.auxiliary_n, disjoint=study.disjoint, rng=rng
    )
    data = [dequantised(x, study, rng) for x, _, _ in populations]
    cut = max(1, study.auxiliary_n // 10)
    shown = np.concatenate([d[cut:] for d in data])
    held_out = [d[:cut] for d in data]
    network = build_network(study.network, dict(study.options), process=PROCESS, seed=seed)
    settings = TrainingSettings(
        steps=study.base_steps, batch=study.batch, learning_rate=1e-3, ema=0.998, t_min=1e-3, validation_draws=4,
        validate_every=250, checkpoint_every=250, patience=0,
    )  # fmt: skip
    common: dict[str, Any] = {"process": PROCESS, "device": device, "progress": progress}
    base = train_score_network(
        network,
        shown,
        settings,
        validation=np.concatenate(held_out),
        folder=folder / "base",
        rng=np.random.default_rng([seed, 1]),
        **common,
    ).score
    tuned = []
    for i, part in enumerate(data):
        settings = TrainingSettings(
            steps=study.auxiliary_steps, batch=study.batch, learning_rate=5e-4, ema=0.99, t_min=1e-3,
            validation_draws=8, validate_every=100, checkpoint_every=250, patience=0,
        )  # fmt: skip
        result = train_score_network(
            base.module, part[cut:], settings, validation=held_out[i], folder=folder / f"auxiliary_{i}",
            rng=np.random.default_rng([seed, 2 + i]), **common,
        )  # fmt: skip
        tuned.append(result.score)
    return base, tuned, held_out
