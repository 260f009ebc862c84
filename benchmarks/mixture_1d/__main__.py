r"""Networks on the published 1-D mixture: ``python -m benchmarks.mixture_1d [--quick]``.

Two auxiliaries are trained on 20,000 points each, in the coordinates of the authors' code (each law standardised by its
own moments), under the variance-exploding process with sigma = 25. A diagnostic on their held-out data chooses the
window of the fit. Then, for every n and every draw of target data: fused and corrected samples, uniform weights, the
nearest auxiliary, arithmetic mixture, parameter averaging, fine-tuning, and training from scratch (two capacities,
chosen and stopped on a quarter of the data, averaged weights). Distances are in the target's own units.

Networks lie in the output folder, results in its store: a run that was stopped goes on where it was, and ``--draws 8``
after ``--draws 5`` computes three draws. Tables are CSV and JSON lines, figures PNG and PDF.
"""

import sys
import time
from dataclasses import replace
from pathlib import Path

from sfbench.experiments import RunSettings
from sfbench.files import prepare_folder, provenance, write_json

from ..common.claims import print_claims, write_claims
from ..common.figures import draw
from ..common.frame import parse_study, study_parser
from ..common.networks import add_device_argument, references, train_all, use_device
from ..common.study import Phases, Row, one_line_errors, run_settings, write_rows
from .cells import (
    FULL,
    QUICK,
    MethodsSpec,
    PublishedSpec,
    Scale,
    TrainingSpec,
    WindowSpec,
    methods_cell,
    published_cell,
    train_auxiliary,
    window_cell,
)
from .report import as_text, draw_figure, evaluate_claims, summarise

_PUBLISHED_SIZES, _PUBLISHED_DRAWS = (256, 1024), 3


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    """Train, run all cells, write tables and figures."""
    options = {"--draws": {"type": int, "help": "draws of the target data for every n"}}
    quick, out = "small networks and few draws: about a minute", "folder for networks, results, tables and figures"
    parser = study_parser(__package__, __doc__, options, quick=quick, out=out, where=None, jobs=1)
    add_device_argument(parser)
    args = parse_study(parser, argv, {"draws": 1})
    scale = QUICK if args.quick else FULL
    scale = scale if args.draws is None else replace(scale, draws=args.draws)
    use_device(args.device)
    folder = prepare_folder(args.out or f"results/mixture_1d{'_quick' if args.quick else ''}")
    return run_study_of_mixture(scale, folder, args.seed, run_settings(args))


def run_study_of_mixture(scale: Scale, folder: Path, seed: int, settings: RunSettings) -> int:
    """All cells, then tables and figures."""
    run, name = Phases(folder, settings), f"1-D mixture, seed {seed}"
    specs = [TrainingSpec(i, scale.auxiliary_steps, seed) for i in range(2)]
    trained = train_all(run, train_auxiliary, specs, f"{name}: auxiliaries")
    networks = references(trained)
    [window] = run(window_cell, [WindowSpec(seed, networks)], f"{name}: window")
    low, high = window["t_min"], window["t_max"]
    grid = [(n, i) for i in range(scale.draws) for n in scale.sizes]
    methods_specs = [MethodsSpec(n, i, seed, scale.work, networks, low, high) for n, i in grid]
    records = run(methods_cell, methods_specs, f"{name}: methods")
    rows: list[Row] = [row for record in records for row in record]
    published_specs = [
        PublishedSpec(n, i, seed, scale.epochs, networks, low, high)
        for n, i in grid
        if n in _PUBLISHED_SIZES and i < _PUBLISHED_DRAWS
    ]
    published: list[Row] = run(published_cell, published_specs, f"{name}: published way")
    for table, found in (("methods", rows), ("published_way", published), ("auxiliaries", trained)):
        write_rows(folder, table, found)
    summary = summarise(rows, published, window)
    write_json(folder / "summary.json", {"summary": summary, "window": window} | provenance(seed))
    claims = evaluate_claims(rows, published, window)
    write_claims(folder, claims)
    draw(folder, lambda: {"mixture_1d": draw_figure(rows, window)})
    print(as_text(summary))
    print_claims(claims)
    print(f"{len(records)} draws, {time.monotonic() - run.started:.0f} s; tables and figures in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
