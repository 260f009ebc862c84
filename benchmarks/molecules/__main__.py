"""Pools of molecules: ``python -m benchmarks.molecules [--quick]``: free energies, torsions, networks, compositions.

Alanine dipeptide in vacuum and in water are the auxiliaries, a solvent of dielectric constant 1.975 is their exact KL
barycenter; three parts. *exact*: free energies and torsions with exact forces, an annealed sampler against the Bennett
acceptance ratio. *networks*: score networks in internal coordinates, every method at n target samples. *compositions*:
mixtures fitted to QM9's molecules by composition, judged by held-out likelihood.

Needs `sfbench data fetch alanine qm9` and the extras `molecules`, `data`; the simulation (six CPU minutes) is kept in
the cache.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

from sfbench.data import load_items
from sfbench.files import prepare_folder, provenance, write_json

from ..common.claims import Claim, exit_code, print_claims, write_claims
from ..common.frame import parse_study, rows_of, study_parser
from ..common.networks import NetworkRef, add_device_argument, references, train_all, use_device
from ..common.study import Phases, Row, one_line_errors, run_settings, write_rows
from .cells import AnnealedSpec, ReferenceSpec, WeightSpec, run_annealed, run_reference, run_weights
from .claims import evaluate_claims, judged
from .compositions import TARGETS, CompositionSpec, run_composition
from .data import OWN, REFERENCE
from .networks import AUXILIARIES, DrawSpec, NetworkSpec, Setting, run_draw, train_network

PARTS = ("exact", "networks", "compositions")


def exact_grid(quick: bool, seed: int) -> dict[str, tuple[Callable[[Any], Any], Sequence[Any]]]:
    """Cells with exact forces."""
    particles, levels, steps, runs = (64, 8, 20, 1) if quick else (48, 16, 500, 2)
    sizes, draws = ((32, 512), 3) if quick else ((32, 128, 512, 2048), 8)
    return {
        "reference": (run_reference, [ReferenceSpec()]),
        "annealed": (
            run_annealed,
            [AnnealedSpec(c, r, particles, levels, steps, seed) for c in (*OWN, *REFERENCE) for r in range(runs)],
        ),
        "weights": (run_weights, [WeightSpec(n, d, seed) for n in sizes for d in range(draws)]),
    }


def setting(quick: bool, seed: int) -> Setting:
    """Size of the networks' part."""
    if quick:
        return Setting(48, 2, 300, 100, 50, 50, 300, 32, seed)
    return Setting(160, 3, 6000, 2500, 600, 1000, 2000, 100, seed)


def draw_grid(quick: bool, chosen: Setting, networks: tuple[NetworkRef, ...]) -> list[DrawSpec]:
    """Target samples of the networks' part."""
    sizes, draws = ((32, 512), 1) if quick else ((32, 128, 512, 2048), 1)
    return [DrawSpec(n, d, chosen, networks) for d in range(draws) for n in sizes]


def composition_grid(quick: bool, seed: int) -> list[CompositionSpec]:
    """Target samples of the compositions; molecules with fluorine end below 1,200."""
    sizes, draws = ((32, 512), 2) if quick else ((32, 128, 512, 1024, 4096), 1)
    return [
        CompositionSpec(target, n, d, seed)
        for d in range(draws)
        for target in TARGETS
        for n in sizes
        if n <= 1024 or target == TARGETS[0]
    ]


def _run(argv: list[str] | None = None) -> int:
    parser = study_parser(
        __package__,
        __doc__,
        {"--parts": {"nargs": "+", "choices": PARTS, "default": list(PARTS), "help": "what to run"}},
        quick="small networks, few runs: about two minutes once the simulation is kept",
        out="folder for results, tables and networks",
    )
    add_device_argument(parser)
    args = parse_study(parser, argv)
    if "networks" in args.parts:
        use_device(args.device)
    folder, tables = prepare_folder(args.out), dict[str, list[Row]]()
    phases = Phases(folder, run_settings(args))

    def run(name: str, cell: Callable[[Any], Any], specs: Sequence[Any]) -> None:
        title = f"{name}, seed {args.seed}{', quick' if args.quick else ''}"
        tables[name] = rows_of(specs, phases(cell, specs, title))
        write_rows(folder, name, tables[name])

    if {"exact", "networks"} & set(args.parts):
        load_items("alanine_chains")  # simulated once, before workers ask for it
        for name, (cell, specs) in exact_grid(args.quick, args.seed).items():
            if name == "reference" or "exact" in args.parts:
                run(name, cell, specs)
    if "networks" in args.parts:
        run("methods", run_draw, _networks_first(args, phases))
        write_rows(folder, "judged", judged(tables["reference"][0], tables["methods"]))
    if "compositions" in args.parts:
        run("compositions", run_composition, composition_grid(args.quick, args.seed))
    claims: list[Claim] = evaluate_claims(tables)
    about = provenance(args.seed)
    write_claims(folder, claims, quick=args.quick, **about)
    write_json(folder / "manifest.json", about | {"arguments": vars(args)})
    print_claims(claims)
    print(f"{time.monotonic() - phases.started:.0f} s; tables in {folder}")
    return exit_code(claims)


def _networks_first(args: argparse.Namespace, run: Phases) -> list[DrawSpec]:
    """Train the base, then the auxiliaries; the cells that use them."""
    chosen = setting(args.quick, args.seed)
    (base,) = references(train_all(run, train_network, [NetworkSpec("base", chosen)], "base"))
    specs = [NetworkSpec(name, chosen, base) for name in AUXILIARIES]
    networks = references(train_all(run, train_network, specs, "auxiliaries"))
    return draw_grid(args.quick, chosen, networks)


def main(argv: list[str] | None = None) -> int:
    """Run the study; exit code 1 if a claim fails, 2 for bad arguments."""
    return one_line_errors(_run, __package__)(argv)


if __name__ == "__main__":
    raise SystemExit(main())
