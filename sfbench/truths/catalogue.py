"""The named problems: a family, its parameters and seed, and how many independent copies of it.

A name and version never change their meaning. Parameters that matter for the truth are all here: a changed default of a
family changes the hash of a certificate, and a test fails.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

from synthetic import known_problems

from .._internal.lazy import did_you_mean
from .._internal.validation import as_choice
from ..errors import SfbenchError


@final
@dataclass(frozen=True)
class Entry:
    """A row of the catalogue."""

    name: str
    group: str  # what kind of difficulty: line, plane, product, ...
    family: str  # of make_problem, in group discrete of make_discrete_problem, or of sfbench.truths.families
    params: Mapping[str, Any] = field(default_factory=dict)  # of the family
    seed: int = 0  # of the problem's geometry
    copies: int = 1  # the laws are products of so many independent copies
    version: int = 1  # raised if a problem of that name ever becomes another

    @property
    def discrete(self) -> bool:
        """Whether points are states, which have no scores."""
        return self.group == "discrete" or self.family == "counted_states"


def _rows() -> list[Entry]:
    paper = {"scale": 6.0, "target": "barycenter"}
    rows = [
        Entry("line_paper", "line", "paper_mixture_1d", paper | {"weights": [0.5, 0.5]}),
        Entry("line_paper_20_80", "line", "paper_mixture_1d", paper | {"weights": [0.2, 0.8]}),
        Entry("line_paper_80_20", "line", "paper_mixture_1d", paper | {"weights": [0.8, 0.2]}),
        Entry("line_published", "line", "paper_mixture_1d", {"scale": 6.0, "target": "mixture"}),
        Entry("line_published_aligned", "line", "paper_mixture_1d", {"space": "aligned", "target": "mixture"}),
        Entry("line_bimodal_near", "line", "bimodal_from_unimodal", {"k": 2, "d": 1, "separation": 3.0}),
        Entry("line_bimodal_far", "line", "bimodal_from_unimodal", {"k": 3, "d": 1, "separation": 6.0}),
    ]

    def mixtures(name: str, group: str, seed: int, copies: int = 1, **params: Any) -> None:
        rows.append(Entry(name, group, "embedded_mixture", params, seed, copies))

    for i, (k, m) in enumerate([(2, 2), (2, 3), (3, 2), (3, 4), (5, 3)]):
        mixtures(f"line_k{k}_m{m}", "line", i, rank=1, d=1, k=k, m=m)
    mixtures("line_mixture_target", "line", 11, rank=1, d=1, k=3, m=2, target="mixture")
    for i, (k, m) in enumerate([(2, 2), (3, 2), (4, 3)]):
        mixtures(f"plane_k{k}_m{m}", "plane", 20 + i, rank=2, d=2, k=k, m=m)
    mixtures("plane_mixture_target", "plane", 24, rank=2, d=2, k=3, m=2, target="mixture")
    for i, (rank, d) in enumerate([(1, 16), (1, 64), (1, 256), (1, 1024), (2, 16), (2, 128)]):
        mixtures(f"embedded_r{rank}_d{d}", "embedded", 30 + i, rank=rank, d=d, k=3, m=2)
    for copies in (2, 4, 8, 16):
        rows.append(Entry(f"product_paper_{copies}", "product", "paper_mixture_1d", rows[0].params, 0, copies))
    for copies in (3, 12):
        mixtures(f"product_mixture_{copies}", "product", 40, copies, rank=1, d=1, k=3, m=2)
    for k in (8, 16, 32, 64):
        mixtures(f"many_k{k}", "many", 50 + k, rank=1, d=4, k=k, m=2)
    rows += [
        Entry(f"duplicates_{text}", "duplicates", "near_duplicates", {"k": k, "d": 4, "spread": spread}, 60)
        for text, k, spread in (("1e-1", 4, 1e-1), ("1e-2", 4, 1e-2), ("1e-4", 3, 1e-4))
    ]
    rows += [
        Entry(f"gaussian_shifted_k{k}_d{d}", "gaussian", "shifted_gaussians", {"k": k, "d": d, "condition": c}, 70 + k)
        for k, d, c in ((2, 2, 1.0), (4, 16, 1.0), (8, 8, 10.0))
    ]
    rows += [
        Entry(
            f"gaussian_scaled_d{d}_ratio{ratio:g}", "gaussian", "scaled_gaussians", {"k": k, "d": d, "ratio": ratio}, 80
        )
        for k, d, ratio in ((2, 1, 4.0), (3, 4, 4.0), (3, 4, 25.0), (3, 16, 4.0))
    ]
    discrete: list[tuple[str, str, dict[str, Any]]] = [
        ("discrete_potts_6", "potts_chains", {"length": 6, "contrast": 1.0}),
        ("discrete_potts_8", "potts_chains", {"length": 8, "contrast": 1.0, "coupling": 0.8}),
        ("discrete_ising_2x3", "ising_lattices", {"contrast": 1.0, "columns": 3}),
        ("discrete_chain", "markov_chains", {"contrast": 1.5}),
        ("discrete_mixture", "product_mixtures", {"contrast": 2.0, "length": 3}),
    ]
    rows += [Entry(name, "discrete", family, params, 90) for name, family, params in discrete]
    return rows + _heavy() + _torsions() + _molecules()


def _heavy() -> list[Entry]:
    two = {"df": [4.0, 5.0], "location": [-1.5, 1.5], "scale": [0.6, 0.9], "weights": [0.4, 0.6]}
    three = {"df": [3.0, 3.5, 4.0], "location": [-2.0, 0.5, 3.0], "scale": [0.8, 0.5, 1.0], "weights": [0.3, 0.3, 0.4]}
    heavier = {"df": [2.5, 3.0], "location": [-1.0, 1.5], "scale": [0.6, 1.0], "weights": [0.5, 0.5]}
    rows = [("heavy_t4", two, 1), ("heavy_t3", three, 1), ("heavy_t2.5", heavier, 1), ("heavy_t4_copies_4", two, 4)]
    return [Entry(name, "heavy", "student_mixtures", params, 0, copies) for name, params, copies in rows]


def _torsions() -> list[Entry]:
    two = [[[0.5, 0.5], [-1.0, 2.0], [0.1, 0.5]], [[0.7, 0.3], [1.0, -2.5], [0.3, 0.3]]]
    rotamers = [
        [shares, [-1.1, 1.1, 3.1], [0.08, 0.08, 0.12]] for shares in ([0.6, 0.2, 0.2], [0.2, 0.6, 0.2], [0.1, 0.3, 0.6])
    ]
    rotamers[2] = [rotamers[2][0], [-0.7, 1.4, 2.6], [0.15, 0.1, 0.2]]
    pair: dict[str, Any] = {"laws": two, "weights": [0.4, 0.6]}
    rows = [
        ("torsion_two_wells", pair, 1),
        ("torsion_rotamers", {"laws": rotamers, "weights": [0.3, 0.3, 0.4]}, 1),
        ("torsion_chain_4", pair, 4),
    ]
    return [Entry(name, "torsions", "wrapped_mixtures", params, 0, copies) for name, params, copies in rows]


def _molecules() -> list[Entry]:
    """Alanine dipeptide, phi < 0, in vacuum and in water: 8,500 correlated points of a simulation for each."""
    vacuum = [[0.22, 0.42, 0.36], [1.36, 2.1, 2.76], [0.065, 0.349, 0.077]]
    water = [[0.111, 0.441, 0.331, 0.117], [2.4, 2.76, 2.37, -0.98], [1.017, 0.102, 0.14, 0.13]]
    psi: dict[str, Any] = {"laws": [vacuum, water], "weights": [0.5, 0.5]}
    cells: dict[str, Any] = {"counts": [_VACUUM, _WATER], "alphabet": 12, "length": 2, "weights": [0.5, 0.5]}
    return [
        Entry("molecule_psi", "molecules", "wrapped_mixtures", psi),
        Entry("molecule_cells", "molecules", "counted_states", cells),
    ]


# points in cells of phi (15 degrees, from -180 to 0) and, faster, of psi (30 degrees)
_VACUUM = (
    "20 1 0 0 0 0 0 0 0 0 38 113 140 6 0 0 0 0 0 0 1 43 363 774 171 5 1 0 0 0 0 0 9 107 689 1012 40 2 1 0 0 0 "
    "0 2 18 121 438 378 4 0 0 0 0 0 0 5 35 99 149 90 1 0 0 0 0 0 1 34 181 146 105 27 0 0 0 0 0 1 3 155 785 "
    "398 125 15 0 0 0 0 0 0 8 127 712 468 118 6 0 0 0 0 0 0 1 12 76 90 18 1 0 0 0 0 0 0 0 0 1 2 1 0 0 0 0 0 0 "
    "0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0"
)
_WATER = (
    "8 0 0 8 2 0 0 1 1 4 54 63 116 14 15 34 14 1 0 8 15 78 309 509 215 20 24 84 20 3 4 13 29 141 576 791 123 "
    "18 23 61 20 7 4 11 27 101 365 438 49 9 9 18 18 5 6 7 14 61 170 165 32 3 3 9 22 4 7 5 18 58 156 149 44 4 "
    "9 44 64 23 5 6 28 119 305 278 24 1 1 55 177 43 3 2 26 151 483 401 3 0 1 46 126 9 0 1 4 82 329 135 0 0 1 "
    "12 17 1 0 0 0 17 29 4 0 0 0 1 0 0 0 0 1 2 0 0 0 0 0 0 0 0 0 0 0 2 0 0"
)

CATALOGUE: dict[str, Entry] = {row.name: row for row in _rows()}


def known_truths(group: str | None = None) -> list[str]:
    """Names of the problems, of one group or of all; SfbenchError for an unknown group."""
    if group is not None:
        as_choice("group", group, dict.fromkeys(row.group for row in CATALOGUE.values()))
    return [row.name for row in CATALOGUE.values() if group in (None, row.group)]


def find_entry(name: str) -> Entry:
    """The row of that name; an error that lists close names if there is none."""
    if not isinstance(name, str) or name not in CATALOGUE:
        if isinstance(name, str) and name in known_problems():
            raise SfbenchError(f"{name!r} is a family of problems without certified truth; see sfbench truths list")
        raise SfbenchError(f"unknown problem {name!r}{did_you_mean(name, CATALOGUE)}; see sfbench truths list")
    return CATALOGUE[name]
