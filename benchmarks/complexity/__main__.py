r"""Sample complexity of fusion, against exact ground truth: ``python -m benchmarks.complexity``.

For independent data draws, weights are fitted from the first n samples and compared with the population optimum w*:

1. excess objective ``J(w_hat) - J(w*)`` and ``TV(p_what, p_w*)`` against n, with fitted slopes, the slow and fast
   rates, and the computed bounds;
2. the same at fixed n against d, 3. against k;
4. the standard deviation of the fitted weight for the three estimators as t shrinks;
5. solver backends side by side on the same statistics: certified gaps, distances, times as ratios.

Every run of the first three is checked against its certificate: with commuting problems the exact divergence of the
fused law against the Girsanov bound, and the excess against the slow rate. Any problem family can be studied, at any
parameters (``--param``), under any process and window, one of your own among them (``--module``). Claims are asserted
at the end, each beside a negative control that must fail (:mod:`benchmarks.complexity.claims`); figures are drawn from
the written files alone (``python -m benchmarks.complexity.plots DIR`` draws them again).
"""

import argparse
from dataclasses import replace
from typing import Any

import numpy as np

from sfbench._internal.validation import as_window
from sfbench.cli.common import parameters
from sfbench.statistics.estimators import as_estimator
from solvers import available_solvers
from synthetic import problem_parameters

from ..common.frame import Cells, Options, Study
from .cells import (
    ESTIMATOR_TIMES,
    PROCESS,
    WINDOW,
    CellSpec,
    EstimatorSpec,
    Setting,
    WindowsSpec,
    run_cell,
    run_estimator_cell,
    run_windows,
)
from .claims import evaluate_claims
from .plots import draw_figures

FIXED_N, FIXED_K, FIXED_D = 1024, 4, 16
ESTIMATOR_DRAWS = 8  # draws of the estimator study per seed of the others: standard deviations need more
COMPARED_DRAWS = 5  # draws on which all backends run: the published way costs 1000 times the others


OPTIONS: Options = {
    "--problem": {"default": "shifted_gaussians", "help": "problem family (see: sfbench problems)"},
    "--param": {
        "action": "append",
        "default": [],
        "metavar": "NAME=VALUE",
        "help": "parameter of the problem; repeat. A given d or k is not varied",
    },
    "--process": {"default": PROCESS, "help": "forward process (see: sfbench names processes)"},
    "--t-min": {"type": float, "default": WINDOW[0], "help": "start of the time window"},
    "--t-max": {"type": float, "help": "end of the time window [default: the process's horizon]"},
    "--module": {"action": "append", "default": [], "help": "module or file with parts of your own; repeat"},
    "--solver": {"nargs": "+", "default": ["active_set", "piqp", "cvxpy", "torch"], "help": "backends compared"},
    "--estimator": {"default": "antithetic", "help": "how the target's score enters the fit"},
    "--n": {"nargs": "+", "default": ["64:65536"], "help": "sample sizes; A:B are octaves from A up to B"},
    "--d": {"nargs": "+", "default": ["4,16,128,1024"], "help": "dimensions of the d study"},
    "--k": {"nargs": "+", "default": ["2,4,8,16"], "help": "numbers of auxiliaries of the k study"},
    "--seeds": {"type": int, "default": 50, "help": "independent data draws"},
}


def check(args: argparse.Namespace) -> None:
    """What the options say; sizes become lists of numbers."""
    args.n, args.d, args.k = (counts(flag, getattr(args, flag)) for flag in ("n", "d", "k"))
    setting_of(args)
    as_estimator(args.estimator)
    for name in args.solver:
        if name not in available_solvers():
            raise ValueError(f"solver {name!r} is not available; choose from {', '.join(available_solvers())}")
    if args.quick:
        args.seeds, args.n = min(args.seeds, 20), [n for n in args.n if n <= 8192] or args.n[:1]


def counts(flag: str, texts: list[str]) -> list[int]:
    """Whole numbers of an option, sorted: ``64 128``, ``64,128``, or octaves ``64:512``."""
    found: set[int] = set()
    for part in (part for text in texts for part in text.split(",")):
        try:
            low, high = (int(end) for end in (part.split(":") if ":" in part else (part, part)))
        except ValueError:
            raise ValueError(f"--{flag} takes whole numbers such as 64 128, or octaves 64:512, got {part!r}") from None
        if not 1 <= low <= high:
            raise ValueError(f"--{flag} takes numbers of at least 1, and A:B with A <= B; got {part!r}")
        found |= {*(low * 2**i for i in range(int(np.log2(high / low)) + 1)), high}
    return sorted(found)


def setting_of(args: argparse.Namespace) -> Setting:
    """The setting that the options describe."""
    params = {name: _as_tuple(value) for name, value in parameters(args.param).items()}
    setting = Setting(args.problem, tuple(sorted(params.items())), args.process, modules=tuple(args.module))
    horizon = setting.load().horizon
    window = as_window(args.t_min, horizon if args.t_max is None else args.t_max, strict=True)
    problem_parameters(args.problem)  # an unknown problem is refused
    return replace(setting, window=window)


def _as_tuple(value: Any) -> Any:
    return tuple(map(_as_tuple, value)) if isinstance(value, list | tuple) else value


def build_specs(args: argparse.Namespace) -> list[CellSpec]:
    """Cells of the n, d and k studies; d and k are varied where the family takes them and no parameter fixes them."""
    seeds, setting = range(args.seeds), setting_of(args)
    free = set(problem_parameters(args.problem)) - {name for name, _ in setting.params}
    d0, k0 = (FIXED_D if "d" in free else None), (FIXED_K if "k" in free else None)
    if args.problem == "bimodal_from_unimodal" and k0 is not None:
        k0 = 2

    def cells(study: str, d: int | None, k: int | None, sizes: list[int]) -> list[CellSpec]:
        compared = [
            tuple(args.solver) if study == "n" and seed < COMPARED_DRAWS else (args.solver[0],) for seed in seeds
        ]
        return [
            CellSpec(study, setting.short, d, k, tuple(sizes), seed, args.seed, args.estimator, names)
            for seed, names in zip(seeds, compared, strict=True)
        ]

    specs = cells("n", d0, k0, args.n)
    for d in args.d if d0 is not None else []:
        specs += cells("d", d, k0, [FIXED_N])
    for k in args.k if k0 is not None else []:
        specs += cells("k", None if d0 is None else max(d0, k - 1), k, [FIXED_N])
    return specs


def cells(args: argparse.Namespace) -> Cells:
    """The cells of all tables; another problem, estimator or seed is another study of the same folder."""
    specs, setting = build_specs(args), setting_of(args)
    for d, k in {(spec.d, spec.k) for spec in specs}:  # a family may refuse a pair: before, not after, computing
        setting.build(d, k, args.seed)
    repeats = range(ESTIMATOR_DRAWS * args.seeds)
    estimators = [EstimatorSpec(t, seed, args.seed) for t in ESTIMATOR_TIMES for seed in repeats]
    name = f"{setting}, {args.estimator}".replace("{", "{{").replace("}", "}}")
    return {
        "cells": (run_cell, specs, f"{name}, seed {{seed}}{{quick}}"),
        "estimators": (run_estimator_cell, estimators, "estimators, seed {seed}"),
        "windows": (run_windows, [WindowsSpec(args.seed)], "windows, seed {seed}"),
    }


main = Study(
    package=__package__,
    doc=__doc__,
    cells=cells,
    claims=evaluate_claims,
    options=OPTIONS,
    least={"seeds": 2},
    check=check,
    quick="fewer seeds and sizes: under a minute",
    out="folder for results, tables and figures",
    figures=draw_figures,
)


if __name__ == "__main__":
    raise SystemExit(main())
