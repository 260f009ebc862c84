"""The frame of a study: what every study's command does, said once.

A study of independent cells is a :class:`Study`: it parses the command line, runs the cells of every table in the store
of ``--out``, writes the tables, ``claims.json`` and ``manifest.json``, draws the figures and ends with the exit code of
its claims. Studies with phases of their own take :func:`study_parser` and the pieces of :mod:`benchmarks.common.study`.
"""

import argparse
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from sfbench.files import prepare_folder, provenance, write_json
from synthetic import SyntheticError

from .claims import Claim, exit_code, print_claims, write_claims
from .study import OneLineParser, Phases, Row, add_engine_arguments, one_line_errors, run_settings, write_rows

Options = Mapping[str, Mapping[str, Any]]
Cells = Mapping[str, tuple[Callable[[Any], Any], Sequence[Any]] | tuple[Callable[[Any], Any], Sequence[Any], str]]
Tables = dict[str, list[Row]]


@final
@dataclass(frozen=True, kw_only=True)
class Study:
    """A study as data; calling it with a command line runs it.

    Attributes
    ----------
    package : str
        ``__package__`` of the study's ``__main__``, such as ``"benchmarks.budget"``.
    doc : str or None
        ``__doc__`` of it; its first line describes the command.
    cells : callable
        From the parsed arguments to ``{table: (run_cell, specs)}``, or ``(run_cell, specs, title)``.
    claims : callable
        From ``{table: rows}`` to the claims.
    title : str
        Name of each table's study in the store: ``table``, ``seed`` and ``quick`` (``", quick"`` or nothing) are known.
    options : mapping
        The study's own options: flag -> arguments of ``add_argument``.
    least, defaults : mapping
        Least values of own options, by name; defaults of common ones that are not the usual ones.
    check : callable, optional
        More checks of the arguments; what it raises as ``ValueError`` is a bad argument. It may complete them.
    gather : callable, optional
        From the arguments, the tables of the cells and the provenance to the tables that are written.
    quick, seed, out : str
        Help of the common options; without ``quick`` there is no ``--quick``.
    where : str
        Default of ``--out``; without, ``results/`` and the name of the package.
    figures : callable, optional
        Draws from the tables of a folder.
    label : callable, optional
        From a spec to the columns that go before those of its rows.
    claims_title : str
        Title of the printed table of claims.
    """

    package: str
    doc: str | None
    cells: Callable[[argparse.Namespace], Cells]
    claims: Callable[[Tables], Sequence[Claim]]
    title: str = "{table}, seed {seed}{quick}"
    options: Options = field(default_factory=dict)
    least: Mapping[str, int] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    check: Callable[[argparse.Namespace], None] | None = None
    gather: Callable[[argparse.Namespace, Tables, dict[str, Any]], Tables] | None = None
    quick: str = ""
    seed: str = "root seed"
    out: str = "folder for results and tables"
    where: str = ""
    figures: Callable[[Path], object] | None = None
    label: Callable[[Any], Row] | None = None
    claims_title: str = "Claims and controls"

    def __call__(self, argv: Sequence[str] | None = None) -> int:
        """Run the study; exit code 1 if a claim fails, 2 for bad arguments."""
        return one_line_errors(self._run, self.package)(argv)

    def parse(self, argv: Sequence[str] | None) -> argparse.Namespace:
        """The parsed command line; every bad value ends in one line."""
        parser = study_parser(
            self.package, self.doc, self.options, quick=self.quick, seed=self.seed, out=self.out, where=self.where
        )
        parser.set_defaults(**self.defaults)
        args = parse_study(parser, argv, self.least)
        try:
            if self.check is not None:
                self.check(args)
        except (ValueError, SyntheticError) as error:
            parser.error(str(error))
        return args

    def _run(self, argv: Sequence[str] | None) -> int:
        args = self.parse(argv)
        started = time.monotonic()
        args.out = folder = prepare_folder(args.out)
        run = Phases(folder, run_settings(args), started)
        quick = bool(self.quick) and args.quick
        tables: Tables = {}
        for table, (run_cell, specs, *title) in self.cells(args).items():
            name = (*title, self.title)[0].format(table=table, seed=args.seed, quick=", quick" if quick else "")
            tables[table] = rows_of(specs, run(run_cell, specs, name), self.label)
            if self.gather is None:
                write_rows(folder, table, tables[table])
        about = provenance(args.seed)
        if argv is not None:
            about["command"] = shlex.join(["python", "-m", self.package, *argv])
        if self.gather is not None:
            tables = self.gather(args, tables, about)
            for table, rows in tables.items():
                write_rows(folder, table, rows)
        claims = self.claims(tables)
        write_claims(folder, claims, quick=quick, **about)
        arguments = {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()}
        write_json(folder / "manifest.json", about | {"arguments": arguments})
        if self.figures is not None:
            self.figures(folder)
        print_claims(claims, self.claims_title)
        print(f"{time.monotonic() - started:.0f} s; tables in {folder}")
        return exit_code(claims)


def study_parser(
    package: str,
    doc: str | None,
    options: Options,
    *,
    quick: str = "",
    seed: str = "root seed",
    out: str,
    where: str | None = "",
    jobs: int = 2,
) -> OneLineParser:
    """The command line of a study: its own options, the common ones, those of the engine.

    ``where`` is the default of ``--out``; ``""`` is ``results/`` and the name of the package.
    """
    parser = OneLineParser(prog=f"python -m {package}", description=(doc or "").split("\n")[0])
    for flag, arguments in options.items():
        parser.add_argument(flag, **arguments)
    if quick:
        parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--seed", type=int, default=0, help=seed)
    default = f"results/{package.rpartition('.')[2]}" if where == "" else where
    parser.add_argument("--out", default=default, help=out)
    add_engine_arguments(parser, jobs=jobs)
    return parser


def parse_study(
    parser: OneLineParser, argv: Sequence[str] | None, least: Mapping[str, int] | None = None
) -> argparse.Namespace:
    """Parse a command line; numbers below their least value (seed 0, jobs 1) end in one line."""
    args = parser.parse_args(argv)
    for name, lowest in {"seed": 0, "jobs": 1, **(least or {})}.items():
        value = getattr(args, name)
        for number in value if isinstance(value, list) else [] if value is None else [value]:
            if number < lowest:
                parser.error(f"--{name} must be at least {lowest}, got {number}")
    return args


def rows_of(specs: Sequence[Any], records: Sequence[Any], label: Callable[[Any], Row] | None = None) -> list[Row]:
    """One table from the records of cells, each one row or a list of rows."""
    rows = []
    for spec, record in zip(specs, records, strict=True):
        columns = label(spec) if label is not None else {}
        rows += [columns | row for row in (record if isinstance(record, list) else [record])]
    return rows
