"""Fusion problems with exact ground truth, and the registry of their families."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import signature
from typing import Any, final

from numpy.typing import ArrayLike

from ._typing import Float64Array, SeedLike
from ._validation import as_generator, close_matches
from .embedded_mixture import Mixture
from .errors import ShapeError, SyntheticError
from .law import Law
from .log_linear_pool import LogLinearPool
from .subspace import Subspace, common_subspace


@final
@dataclass(frozen=True, eq=False)
class SyntheticProblem:
    """A target law, the auxiliary laws, and what is known exactly about them.

    Attributes
    ----------
    name : str
        Family name.
    target : GaussianMixture, EmbeddedMixture or LogLinearPool
        The law that data are drawn from.
    auxiliaries : tuple of GaussianMixture or EmbeddedMixture
        The k laws to fuse.
    true_weights : array of shape (k,) or None
        Weights of the pool that equals the target, if there is one.
    params : mapping
        The parameters that reproduce the problem (with its generator's state).
    known : mapping
        What is exact and how, by quantity: ``weights``, ``barycenter``, ``population_gram``, ``total_variation``.
    """

    name: str
    target: Law
    auxiliaries: tuple[Mixture, ...]
    true_weights: Float64Array | None
    params: Mapping[str, Any] = field(default_factory=dict)
    known: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        dims = {self.target.dim, *(p.dim for p in self.auxiliaries)}
        if len(dims) != 1:
            raise ShapeError(f"target and auxiliaries must live in one dimension, got {sorted(dims)}")

    @property
    def k(self) -> int:
        """Number of auxiliaries."""
        return len(self.auxiliaries)

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.target.dim

    def subspace(self) -> Subspace | None:
        """Where target and auxiliaries differ: the last core is the target's if the target is a mixture."""
        return common_subspace((*self.auxiliaries, self.target))

    def barycenter(self, weights: ArrayLike) -> Law:
        """The KL barycenter ``p_w``: a mixture when it is one exactly, else a pool."""
        pool = LogLinearPool(self.auxiliaries, weights)
        return pool.as_mixture() or pool

    def __repr__(self) -> str:
        inner = ", ".join(f"{key}={value!r}" for key, value in self.params.items())
        return f"SyntheticProblem({self.name!r}, {inner})"


Family = Callable[..., SyntheticProblem]
_FAMILIES: dict[str, Family] = {}


def family(function: Family) -> Family:
    """Register a problem family under its function name; the first docstring line describes it."""
    _FAMILIES[function.__name__] = function
    return function


def known_problems() -> dict[str, str]:
    """Names of the problem families and a line about each."""
    return {name: (function.__doc__ or "").strip().splitlines()[0] for name, function in sorted(_FAMILIES.items())}


def problem_parameters(name: str) -> dict[str, Any]:
    """Parameters of a problem family and their defaults; see :func:`make_problem`.

    Raises
    ------
    UnknownNameError
        For an unknown family; lists close matches.
    """
    if not isinstance(name, str) or name not in _FAMILIES:
        raise close_matches(name, _FAMILIES, "problem")
    return {key: p.default for key, p in signature(_FAMILIES[name]).parameters.items() if key != "rng"}


def make_problem(name: str, *, rng: SeedLike = 0, **params: Any) -> SyntheticProblem:
    """Build a named problem.

    Parameters
    ----------
    name : str
        One of :func:`known_problems`.
    rng : Generator, int or None
        Randomness of the problem's own geometry (means, rotations, true weights), not of any data.
    **params
        Parameters of the family; see its docstring.

    Raises
    ------
    UnknownNameError
        For an unknown family; lists close matches.
    SyntheticError
        For a parameter that the family does not take, or a bad value.
    """
    accepted = problem_parameters(name)
    unknown = sorted(set(params) - set(accepted))
    if unknown:
        raise SyntheticError(f"problem {name!r} takes no parameter {unknown[0]!r}; it takes {', '.join(accepted)}")
    return _FAMILIES[name](rng=as_generator(rng), **params)
