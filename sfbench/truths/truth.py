r"""A named problem and the exact laws that a sampler of it may have reached.

Auxiliaries ``p_i``, weights w, and in the coordinates in which they differ

    fused       P_w: the reverse SDE with the averaged score, by Fokker-Planck equation on the line, the circle and in
                the plane, in closed form for Gaussians, by Kolmogorov's equation on finite spaces
    barycenter  p_w = prod_i p_i^{w_i} / Z(w)
    mixture     sum_i w_i p_i
    target      the law of the data, where it is none of these

all normalised, all drawn from exactly or from fine grids. Products of copies are products of the factor's laws (the
mixture is not: one auxiliary is drawn for all copies).
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from synthetic import LogLinearPool, Subspace, SyntheticProblem, common_subspace, make_problem
from synthetic.discrete import DiscreteProblem, DiscreteTable, make_discrete_problem

from .._internal.aliases import Float64Array
from .._internal.validation import as_choice, as_generator
from ..discrete import ExactRates, FusedRates, UniformNoise, chain_law
from ..laws import affine_fused_law, fused_law
from ..processes import ForwardProcess, OrnsteinUhlenbeck
from .catalogue import Entry, find_entry
from .families import CIRCLE, FAMILIES, circle_density
from .laws import Density, MixtureLaw, ProductLaw

PROCESS: ForwardProcess = OrnsteinUhlenbeck()
_REACH = 16.0  # log-odds between which a chain on a finite space runs


@final
@dataclass(frozen=True, eq=False)
class Truth:
    """What is known exactly about a named problem.

    Attributes
    ----------
    entry : Entry
        Its row of the catalogue.
    problem : SyntheticProblem or DiscreteProblem
        Of one copy.
    auxiliaries : tuple of laws
        On the whole space R^d, or on states; what methods fuse.
    target : law
        What data are drawn from, on the whole space.
    weights : array (k,)
        At which the laws are meant: the true weights, or equal ones where the target is not a pool.
    laws : mapping of str to law
        In the coordinates in which the auxiliaries differ; see the module.
    errors : mapping of str to float
        What is known about the error of each, in total variation.
    log_z : float
        ``log Z(w)``.
    subspace : Subspace or None
        Those coordinates; None where they are the space's own.
    process : ForwardProcess or UniformNoise
        Under which the fused law is meant.
    """

    entry: Entry
    problem: SyntheticProblem | DiscreteProblem
    auxiliaries: tuple[Any, ...]
    target: Any
    weights: Float64Array
    laws: Mapping[str, Density]
    errors: Mapping[str, float]
    log_z: float
    subspace: Subspace | None
    process: Any = PROCESS

    @property
    def name(self) -> str:
        """Name in the catalogue."""
        return self.entry.name

    @property
    def is_discrete(self) -> bool:
        """Whether points are states: whole numbers."""
        return isinstance(self.problem, DiscreteProblem)

    @property
    def on_circle(self) -> bool:
        """Whether coordinates are angles."""
        return self.process is CIRCLE

    @property
    def dim(self) -> int:
        """Dimension d of the points that are scored (for states, the number of sites)."""
        return int(self.auxiliaries[0].length if self.is_discrete else self.auxiliaries[0].dim)

    @property
    def rank(self) -> int:
        """Number of coordinates in which the laws differ."""
        return self.dim if self.subspace is None else self.subspace.rank

    @property
    def has_complement(self) -> bool:
        """Whether the laws share an isotropic Gaussian beyond the coordinates in which they differ."""
        return self.dim > self.rank

    @property
    def k(self) -> int:
        """Number of auxiliaries."""
        return len(self.auxiliaries)

    def lift(self, y: Any, rng: np.random.Generator) -> Any:
        """Points (n, d) with coordinates y (n, rank); the rest is drawn from what the laws have in common."""
        return y if self.subspace is None else self.subspace.lift(y, rng)

    def sample(self, law: str, n: int, *, rng: Any = None) -> Any:
        """Points (n, d) of one of the laws, by its name."""
        as_choice("law", law, self.laws)
        generator = as_generator(rng)
        return self.lift(self.laws[law].sample(n, rng=generator), generator)

    def __repr__(self) -> str:
        return f"Truth({self.name!r}, k={self.k}, d={self.dim}, rank={self.rank}, log Z={self.log_z:.4g})"


def get_truth(name: str) -> Truth:
    """The truth of a problem of :func:`known_truths`; what was computed once in a process is kept.

    Costs a Fokker-Planck equation: about a second on the line or circle, 7 in the plane, nothing for Gaussians. An
    unknown name is an SfbenchError.
    """
    return make_truth(find_entry(name).name)


@functools.lru_cache(maxsize=16)
def make_truth(name: str) -> Truth:
    """The same, of a name that is known."""
    entry = find_entry(name)
    problem: Any = _problem(entry)
    if isinstance(problem, DiscreteProblem):
        return _of_states(entry, problem)
    if entry.family == "wrapped_mixtures":
        return _of_angles(entry, problem)
    weights = np.full(problem.k, 1.0 / problem.k) if problem.true_weights is None else problem.true_weights
    subspace = common_subspace((*problem.auxiliaries, problem.target))
    cores: Any = problem.auxiliaries if subspace is None else subspace.cores[: problem.k]
    pool = LogLinearPool(cores, weights)
    fused, error = _fused(cores, weights)
    laws: dict[str, Any] = {"fused": fused, "barycenter": pool.as_mixture() or pool}
    if problem.true_weights is None:
        laws["target"] = problem.target if subspace is None else subspace.core_of(problem.target)
    log_z = pool.log_partition().value
    return _assembled(entry, problem, weights, laws, cores, error, log_z, subspace, PROCESS)


def _problem(entry: Entry) -> Any:
    if entry.family in FAMILIES:
        return FAMILIES[entry.family](**entry.params)
    make = make_discrete_problem if entry.discrete else make_problem
    return make(entry.family, rng=entry.seed, **entry.params)


def _assembled(
    entry: Entry,
    problem: Any,
    weights: Float64Array,
    laws: dict[str, Any],
    cores: Any,
    error: float,
    log_z: float,
    subspace: Subspace | None,
    process: Any,
) -> Truth:
    """The truth of all copies, from the laws of one (but the mixture), and the auxiliaries in their coordinates."""
    auxiliaries, target, copies = problem.auxiliaries, problem.target, entry.copies
    if copies > 1:  # of the laws in core coordinates, which are then the space's own
        laws = {key: ProductLaw(law, copies) for key, law in laws.items()}
        auxiliaries = cores = tuple(ProductLaw(core, copies) for core in cores)
        target, subspace = laws.get("target", laws["barycenter"]), None
    laws["mixture"] = MixtureLaw(cores, weights)
    errors = dict.fromkeys(laws, 0.0) | {"fused": copies * error}
    return Truth(entry, problem, auxiliaries, target, weights, laws, errors, copies * log_z, subspace, process)


def _of_angles(entry: Entry, problem: Any) -> Truth:
    weights, pool = problem.true_weights, problem.target
    fused = circle_density(problem.auxiliaries, weights)
    laws, log_z = {"fused": fused, "barycenter": pool}, pool.log_partition().value
    return _assembled(entry, problem, weights, laws, problem.auxiliaries, fused.error, log_z, None, CIRCLE)


def _fused(cores: Any, weights: Float64Array) -> tuple[Any, float]:
    """The fused law in core coordinates, and its error in total variation."""
    if all(core.n_components == 1 for core in cores):
        return affine_fused_law(cores, weights, process=PROCESS, t_min=1e-5 * PROCESS.horizon), 0.0
    options = {"n_cells": 2000, "steps": 200} if cores[0].dim == 1 else {}
    found = fused_law(cores, weights, process=PROCESS, **options)
    return found, found.error


def _of_states(entry: Entry, problem: DiscreteProblem) -> Truth:
    first, weights = problem.auxiliaries[0], problem.true_weights
    noise = UniformNoise(first.alphabet)
    rates = FusedRates(tuple(ExactRates(law, noise) for law in problem.auxiliaries), weights)
    chances = np.maximum(chain_law(rates, (-_REACH, _REACH)), 0.0)
    with np.errstate(divide="ignore"):
        table = DiscreteTable(np.log(chances / chances.sum()), first.alphabet, first.length)
    laws, log_z = {"fused": table, "barycenter": problem.target}, problem.target.log_partition().value
    error = float(abs(chances.sum() - 1.0)) + 1e-6
    return _assembled(entry, problem, weights, laws, problem.auxiliaries, error, log_z, None, noise)
