"""One run of the digits' networks, all of them or one a step: digit-FID and share of sevens."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

import numpy as np

from sfbench import FusedScore, sample
from sfbench.nets import load_checkpoint
from sfbench.processes.times import time_steps
from sfbench.sampling import FusedSampler, SwitchedSampler

from ..common.study import Row, cell_rng, study_cells
from .cells import judge_of
from .models import FULL, PROCESS, SHARES, T_MIN

KEPT = Path(__file__).parents[1] / "results" / "digits_mnist"


@final
@dataclass(frozen=True)
class SwitchedDigitsSpec:
    """A method, its scheme, the evaluations an image costs, the images, and the number of the run."""

    method: Literal["all", "balanced"]
    scheme: str
    evaluations: int
    images: int
    draw: int
    root_seed: int


@study_cells(version=1, factors=("method", "scheme", "evaluations"), replicate="draw", name="digits/switched")
def run_switched_digits_cell(spec: SwitchedDigitsSpec) -> Row:
    """Digit-FID and share of sevens."""
    models = [load_checkpoint(KEPT / f"auxiliary_{i}") for i in range(len(SHARES))]
    score = FusedScore(models, _weights(), process=PROCESS)
    each = len(models) if spec.method == "all" else 1
    sampler = FusedSampler(spec.scheme) if spec.method == "all" else SwitchedSampler(spec.scheme)
    steps = time_steps(PROCESS, spec.evaluations // each, t_min=T_MIN)
    result = sample(score, spec.images, sampler, steps=steps, check_steps=False, dtype=np.float32, rng=cell_rng(spec))
    scaling, judge = FULL.training.scaling, judge_of(FULL.training.data, FULL.training.levels, 0)
    raw = result.x.astype(np.float64) * scaling.scale + scaling.shift
    share = judge.share(raw)
    return {
        "fid": judge.frechet(raw),
        "share": share.value,
        "share_stderr": share.stderr,
        "spent": result.diagnostics.n_model_evaluations,
    }


def _weights() -> np.ndarray:
    """Weights of the kept fit of 1,024 images, draw 0."""
    with (KEPT / "methods.csv").open(encoding="utf-8", newline="") as file:
        kept = next(r for r in csv.DictReader(file) if (r["n"], r["method"], r["draw"]) == ("1024", "fused", "0"))
    return np.array(json.loads(kept["weights"]))
