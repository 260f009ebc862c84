r"""Sevens and nines: ``python -m benchmarks.digits [--quick] [--data mnist | digits8]``.

Four auxiliaries with 10, 30, 70 and 90 % sevens, a target of 60 % sevens seen through n images. Methods: fused,
corrected, uniform weights, arithmetic mixture, parameter average, nearest auxiliary, fine-tuned, from scratch. Judges:
bits per dimension of held-out target images (probability flow, dequantised, with the Jacobian of the scaling), share of
sevens by an outside classifier with confusion correction, and a digit-FID.

**Which share to expect.** If sevens and nines do not overlap, the pool ``prod p_i^{w_i}`` has a share s of sevens with

    logit s = sum_i w_i logit s_i + log Z_7 - log Z_9,

where ``Z_c`` is the normalising constant of the pool of the class-c laws: class frequencies pool geometrically. The
auxiliaries' class laws are nearly one law, so the last two terms nearly cancel. The arithmetic mixture would have
``sum_i w_i s_i``. Both predictions stand beside the measured shares, from the shares that the auxiliaries were trained
on and from those that their own samples show.

Held-out images are one set for all draws and methods. ``--quick`` takes the 8 x 8 digits that scikit-learn ships;
``--data digits8`` the same with more draws. Networks lie in the output folder, results in its store: a run that was
stopped goes on where it was, and ``--draws 5`` after ``--draws 3`` computes two draws.
"""

import sys
import time
from dataclasses import replace
from pathlib import Path

from sfbench.data import data_entry
from sfbench.experiments import RunSettings
from sfbench.files import prepare_folder, provenance, write_json

from ..common.claims import print_claims, write_claims
from ..common.figures import draw
from ..common.frame import Options, parse_study, study_parser
from ..common.networks import add_device_argument, references, train_all, use_device
from ..common.study import Phases, Row, one_line_errors, run_settings, write_rows
from .cells import FixedSpec, MethodsSpec, WindowSpec, fixed_cell, fixed_methods, judge_of, methods_cell, window_cell
from .models import QUICK, STUDIES, Study, Training, TrainingSpec, load_pools, train_network, training_specs
from .report import as_text, draw_figure, evaluate_claims, summarise


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    """Train, run all cells, write tables and figures."""
    options: Options = {
        "--data": {"choices": list(STUDIES), "default": "mnist", "help": "data set of the full study"},
        "--draws": {"type": int, "help": "draws of the target data for every n"},
    }
    quick, out = "8 x 8 digits, small networks: a minute or two", "folder for networks, results, tables and figures"
    parser = study_parser(__package__, __doc__, options, quick=quick, out=out, where=None, jobs=1)
    add_device_argument(parser)
    args = parse_study(parser, argv, {"draws": 1})
    study = QUICK if args.quick else STUDIES[args.data]
    study = study if args.draws is None else replace(study, draws=args.draws)
    use_device(args.device)
    load_pools(study.training.data, args.seed)  # data that are missing end the run before a folder is made
    folder = prepare_folder(args.out or f"results/digits_{'quick' if args.quick else args.data}")
    return run_study_of_digits(study, folder, args.seed, run_settings(args))


def run_study_of_digits(study: Study, folder: Path, seed: int, settings: RunSettings) -> int:
    """All cells, then tables and figures."""
    run, training, evaluation = Phases(folder, settings), study.training, study.evaluation
    name = f"digits of {training.data}, seed {seed}"

    base = [TrainingSpec("base", training, seed)]
    [base_network] = references(train_all(run, train_network, base, f"{name}: base"))
    specs = training_specs(training, seed, base_network)
    trained = train_all(run, train_network, specs, f"{name}: auxiliaries")
    networks = references(trained)
    window_specs = [WindowSpec(training, seed, networks)]
    [window] = run(window_cell, window_specs, f"{name}: window")
    fixed_specs = [
        FixedSpec(method, i, seed, training, evaluation, networks)
        for i in range(study.draws)
        for method in fixed_methods()
    ]
    fixed: list[Row] = run(fixed_cell, fixed_specs, f"{name}: fixed methods")
    specs_of_methods = [
        MethodsSpec(n, i, seed, training, evaluation, networks, window["t_min"], window["t_max"])
        for i in range(study.draws)
        for n in study.sizes
    ]
    records = run(methods_cell, specs_of_methods, f"{name}: methods")
    rows = [row for record in records for row in record]
    write_report(folder, rows, fixed, trained, window, training=training, seed=seed)
    print(f"{len(records)} draws, {time.monotonic() - run.started:.0f} s; tables and figures in {folder}")
    return 0


def write_report(
    folder: Path,
    methods: list[Row],
    fixed: list[Row],
    trained: list[Row],
    window: Row,
    *,
    training: Training,
    seed: int,
) -> None:
    """Tables, summary and figure of finished cells."""
    judge = judge_of(training.data, training.levels, seed)
    rates = {"sevens called sevens": judge.true_rate, "nines called sevens": judge.false_rate}
    summary = summarise(methods, fixed, window) | {"judge": rates | {"images": judge.n_confusion}}
    for name, rows in (("methods", methods), ("fixed", fixed)):
        write_rows(folder, name, [{k: v for k, v in row.items() if k != "pixels"} for row in rows])
    write_rows(folder, "networks", trained)
    write_json(folder / "summary.json", {"summary": summary, "window": window} | provenance(seed))
    claims = evaluate_claims(methods, fixed)
    write_claims(folder, claims)
    draw(folder, lambda: {"digits": draw_figure(methods, fixed, summary, data_entry(training.data).shape)})
    print(as_text(summary))
    print_claims(claims)


if __name__ == "__main__":
    sys.exit(main())
