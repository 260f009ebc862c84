r"""When does fusion help against fine-tuning? ``python -m benchmarks.styles [--quick] [--data digits | clothes]``.

Three auxiliaries share a part of their images with the target's style; the rest are in three foreign styles (digits:
handwriting fonts; clothes: other kinds of clothes). From level to level that part shrinks, down to none, and at last to
foreign images with shuffled pixels, which have nothing to do with the target. Against n images of the target stand
fusion, fine-tuning of the nearest auxiliary, their combination (fine-tuning of the average of the parameters at the
fitted weights), uniform weights, and training from scratch. Judge: the denoising loss on held-out target images, as
nats of the bound on the KL divergence (:mod:`benchmarks.styles.cells`). The heat map shows its difference between
fusion and fine-tuning, by n and by the measured distance of the nearest auxiliary from the target.

Two controls decide the exit status: with auxiliaries of the target's own law fusion must not lose to fine-tuning at the
smallest n, and with shuffled pixels it must lose at the largest.

``--quick`` takes the 8 x 8 digits that scikit-learn ships, with slanted and broadened ones as foreign styles. All
results lie in the store of the output folder: a run that was stopped goes on where it was.
"""

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from sfbench.experiments import Journal, StudyError, store_path
from sfbench.experiments.report.tables import load_table
from sfbench.files import prepare_folder, provenance, write_json

from ..common.claims import exit_code, print_claims, write_claims
from ..common.frame import Options, parse_study, study_parser
from ..common.networks import add_device_argument, references, train_all, use_device
from ..common.study import Phases, Row, RunSettings, one_line_errors, run_settings, write_rows
from .cells import (
    WIDTH_LOG_SNR,
    DistanceSpec,
    DrawSpec,
    NetworkSpec,
    ScratchSpec,
    Setting,
    measure_distance,
    run_draw,
    run_scratch,
    train_network,
)
from .data import Level, write_images
from .report import as_text, compare, controls, draw_figures

LEVELS = (
    Level("same law", 1.0),
    Level("90 % foreign", 0.1),
    Level("98 % foreign", 0.02),
    Level("foreign", 0.0),
    Level("foreign, shuffled", 0.0, shuffled=True),
)
SETTING = Setting(
    name="digits",
    images_sha256="",
    held_out=1000,
    side=14,
    width=192,
    k=3,
    auxiliary_n=4000,
    base_steps=3000,
    auxiliary_steps=4000,
    reference_steps=8000,
    tuning_steps=400,
    scratch_steps=1000,
    batch=64,
    draw_size=1024,
)


@final
@dataclass(frozen=True)
class Study:
    """The grid: a setting, levels, numbers of target images, and draws of them."""

    setting: Setting
    levels: tuple[Level, ...] = LEVELS
    sizes: tuple[int, ...] = (16, 128, 1024)
    draws: int = 3


STUDIES = {name: Study(replace(SETTING, name=name)) for name in ("digits", "clothes")}
QUICK = Study(
    Setting(
        name="digits8",
        images_sha256="",
        held_out=300,
        side=8,
        width=64,
        k=2,
        auxiliary_n=360,
        base_steps=300,
        auxiliary_steps=300,
        reference_steps=400,
        tuning_steps=75,
        scratch_steps=150,
        batch=32,
        draw_size=128,
    ),
    (LEVELS[0], LEVELS[1], LEVELS[4]),
    (16, 128),
    3,
)


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    """Train, measure, run all cells, write tables and figures; exit status 1 if a control fails."""
    options: Options = {
        "--data": {"choices": list(STUDIES), "default": "digits", "help": "setting of the full study"},
        "--collect": {"action": "store_true", "help": "tables and figures of the finished cells, no computing"},
    }
    quick, out = "8 x 8 digits, small networks: under a minute", "folder for networks, tables and figures"
    parser = study_parser(__package__, __doc__, options, quick=quick, out=out, where=None)
    add_device_argument(parser)
    args = parse_study(parser, argv)
    study = QUICK if args.quick else STUDIES[args.data]
    started = time.monotonic()
    use_device(args.device)
    folder = prepare_folder(args.out or f"results/styles_{'quick' if args.quick else args.data}")
    if args.collect:
        return _report(folder, args, started, collect(folder))
    chosen = replace(study.setting, seed=args.seed)
    sha256 = write_images(folder, chosen.name, chosen.side, chosen.held_out, chosen.seed)
    study = replace(study, setting=replace(chosen, images_sha256=sha256))
    compute(study, folder, run_settings(args), started)
    return _report(folder, args, started, "all cells")


def compute(study: Study, folder: Path, settings: RunSettings, started: float) -> None:
    """Everything that is missing in the store, then the tables ``networks``, ``distances`` and ``methods``."""

    run, setting = Phases(folder, settings, started), study.setting
    first = [NetworkSpec(setting, "base"), NetworkSpec(setting, "reference")]
    trained = train_all(run, train_network, first, "styles: base")
    base, best = references(trained)
    specs = [NetworkSpec(setting, "auxiliary", level, i, base) for level in study.levels for i in range(setting.k)]
    tuned = train_all(run, train_network, specs, "styles: auxiliaries")
    write_rows(folder, "networks", trained + tuned)
    refs = references(tuned)
    sets = {level: refs[setting.k * i : setting.k * (i + 1)] for i, level in enumerate(study.levels)}
    far = [DistanceSpec(setting, level, sets[level], best) for level in study.levels]
    distances: list[Row] = run(measure_distance, far, "styles: distances")
    write_rows(folder, "distances", [row | {"nats_per_loss": setting.nats} for row in distances])
    draws = [
        DrawSpec(setting, level, n, draw, sets[level])
        for draw in range(study.draws)
        for level in study.levels
        for n in study.sizes
    ]
    found: list[list[Row]] = run(run_draw, draws, "styles: draws")
    scratch = [ScratchSpec(setting, n, draw) for draw in range(study.draws) for n in study.sizes]
    alone: list[Row] = run(run_scratch, scratch, "styles: from scratch")
    write_rows(folder, "methods", [row for rows in found for row in rows] + alone)


def collect(folder: Path) -> str:
    """The tables ``distances`` and ``methods`` of what the store holds; says how complete they are."""
    tables = {}
    with Journal(store_path(folder)) as journal:
        known = {study.name for study in journal.studies()}
        for name in ("distances", "draws", "from scratch"):
            if f"styles: {name}" in known:
                tables[name] = load_table(journal, f"styles: {name}")
    if not all(name in tables and tables[name].rows for name in ("distances", "draws")):
        raise StudyError(f"{str(folder)!r} holds no finished draw yet; run the study without --collect")
    hidden = {"study", "cell", "setting", "level", "auxiliaries", "reference"}
    rows = {name: [{k: v for k, v in r.items() if k not in hidden} for r in t.rows] for name, t in tables.items()}
    first = tables["distances"].rows[0]["setting"]
    nats = 0.5 * first["side"] ** 2 * WIDTH_LOG_SNR
    write_rows(folder, "distances", [row | {"nats_per_loss": nats} for row in rows["distances"]])
    write_rows(folder, "methods", rows["draws"] + rows.get("from scratch", []))
    return "; ".join(f"{name}: {table.caption()}" for name, table in tables.items())


def _report(folder: Path, args: argparse.Namespace, started: float, cells: str) -> int:
    """Comparison, controls, figures; exit code of the controls."""
    comparison = compare(folder)
    write_rows(folder, "comparison", comparison)
    checks = controls(comparison)
    record = {"cells": cells, "quick": args.quick, "data": args.data, "seconds": time.monotonic() - started}
    write_claims(folder, checks, quick=args.quick, data=args.data)
    write_json(folder / "summary.json", record | provenance(args.seed))
    draw_figures(folder)
    print(cells)
    print(as_text(folder, comparison))
    print_claims(checks, "Controls: where the answer is known beforehand")
    print(f"{record['seconds']:.0f} s; tables and figures in {folder}")
    return exit_code(checks)


if __name__ == "__main__":
    raise SystemExit(main())
