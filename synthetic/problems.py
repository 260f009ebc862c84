"""Fusion problems with exact ground truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, final

from numpy.typing import ArrayLike

from ._typing import Float64Array
from ._validation import as_finite, as_simplex, show
from .embedded_mixture import Mixture
from .errors import ShapeError, SyntheticError
from .law import Law
from .log_linear_pool import LogLinearPool
from .subspace import Subspace, common_subspace


@final
@dataclass(frozen=True, eq=False)
class SyntheticProblem:
    """A target law, the auxiliary laws, and what is known exactly about them.

    Parameters
    ----------
    name : str
        Family name; any other for a problem of your own.
    target : Law
        The law that data are drawn from.
    auxiliaries : sequence of GaussianMixture or EmbeddedMixture
        The k laws to fuse, at least one.
    true_weights : array_like of shape (k,), optional
        Weights of the pool that equals the target, if there is one.
    params : mapping
        Parameters that the family was called with, its defaults among them; empty for a problem built by hand.
    known : mapping
        What is exact and how, by quantity: ``weights``, ``barycenter``, ``population_gram``, ``total_variation``.
    seed : int or mapping, optional
        Seed of the problem's own geometry, or the state of the generator that it was drawn from.

    Raises
    ------
    ShapeError, SimplexError, SyntheticError
        If dimensions differ, there are no auxiliaries, weights are off the simplex, or a law is none.
    """

    name: str
    target: Law
    auxiliaries: tuple[Mixture, ...]
    true_weights: Float64Array | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    known: Mapping[str, str] = field(default_factory=dict)
    seed: int | Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.auxiliaries, Sequence) or not self.auxiliaries:
            raise ShapeError(f"auxiliaries must be a sequence of at least one law, got {show(self.auxiliaries)}")
        laws = {"target": self.target, **{f"auxiliaries[{i}]": law for i, law in enumerate(self.auxiliaries)}}
        for name, law in laws.items():
            if not (hasattr(law, "dim") and hasattr(law, "log_prob") and hasattr(law, "sample")):
                raise SyntheticError(f"{name} is not a law with dim, log_prob and sample, but {show(law)}")
        dims = sorted({law.dim for law in laws.values()})
        if len(dims) != 1:
            raise ShapeError(f"target and auxiliaries must live in one dimension, got {dims}")
        object.__setattr__(self, "auxiliaries", tuple(self.auxiliaries))
        object.__setattr__(self, "params", dict(self.params))
        object.__setattr__(self, "known", dict(self.known))
        if self.true_weights is not None:
            as_simplex(self.true_weights, len(self.auxiliaries), "true_weights")
            weights = as_finite("true_weights", self.true_weights)
            weights.setflags(write=False)
            object.__setattr__(self, "true_weights", weights)

    @property
    def k(self) -> int:
        """Number of auxiliaries."""
        return len(self.auxiliaries)

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.target.dim

    @property
    def recipe(self) -> dict[str, Any] | None:
        """What rebuilds the problem, ``make_problem(**problem.recipe)``; None for one built by hand."""
        return None if self.seed is None else {"name": self.name, "rng": self.seed, **self.params}

    def subspace(self) -> Subspace | None:
        """Where target and auxiliaries differ; None if no shared complement is known. See :meth:`Subspace.core_of`."""
        return common_subspace((*self.auxiliaries, self.target))

    def barycenter(self, weights: ArrayLike) -> Law:
        """The KL barycenter ``p_w``: a mixture when it is one exactly, else a pool."""
        pool = LogLinearPool(self.auxiliaries, weights)
        return pool.as_mixture() or pool

    def _repr_html_(self) -> str:
        weights = [""] * self.k if self.true_weights is None else [f"{w:.4f}" for w in self.true_weights]
        cells = [("target", repr(self.target), "")]
        cells += [(str(i), repr(law), w) for i, (law, w) in enumerate(zip(self.auxiliaries, weights, strict=True))]
        rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in cells)
        head = "<tr><th>auxiliary</th><th>law</th><th>weight of the target</th></tr>"
        return f"<div><p><b>{escape(repr(self))}</b></p><table>{head}{rows}</table></div>"

    def __repr__(self) -> str:
        parts = {**self.params, **({} if self.seed is None else {"rng": self.seed})}
        return f"SyntheticProblem({', '.join([repr(self.name), *(f'{key}={show(v)}' for key, v in parts.items())])})"
