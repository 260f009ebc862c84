"""Many small problems at once: bootstrap replicates, seeds, sample sizes, time bins.

The batch is validated, normalised, solved and certified in blocks, without per-problem overhead; problems that the
batched solver leaves (no settled support, flat directions) go through `solve` one by one. The certificate is the same.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .api import solve
from .base import BatchSolver, SimplexSolver, SolverResult, Status
from .batch import SimplexQPBatch
from .errors import ArgumentTypeError, ShapeError, UnsupportedObjectiveError
from .problem import SimplexQP, Vector
from .registry import resolve_solver
from .validation import EPS, limits, seed


@dataclass(frozen=True, slots=True, eq=False)
class SolverResults:
    """Results of `solve_many`, as arrays; index or iterate to get a `SolverResult` each.

    Attributes
    ----------
    problems : SimplexQPBatch
    weights : (B, k) float64
    values, gaps, scales : (B,) float64
        As in `SolverResult`; `gaps` and `scales` in the units of the objectives.
    n_iter : (B,) int
    tol : float
    solver : str
    """

    problems: SimplexQPBatch
    weights: NDArray[np.float64]
    values: Vector
    gaps: Vector
    scales: Vector
    n_iter: NDArray[np.intp]
    tol: float
    solver: str
    singles: Mapping[int, SolverResult] = field(repr=False, default_factory=dict)

    @property
    def converged(self) -> NDArray[np.bool_]:
        """``gaps <= tol * scales``, (B,)."""
        return np.asarray(self.gaps <= self.tol * self.scales)

    @property
    def is_unique(self) -> NDArray[np.bool_]:
        """Whether each minimiser is unique, (B,)."""
        unique = np.ones(len(self), dtype=bool)
        unique[[i for i, one in self.singles.items() if not one.is_unique]] = False
        return unique

    def __len__(self) -> int:
        return len(self.weights)

    def __getitem__(self, index: int) -> SolverResult:
        try:
            i = range(len(self))[operator.index(index)]
        except TypeError:
            raise ArgumentTypeError(f"index must be a whole number, got {index!r}") from None
        if i in self.singles:
            return self.singles[i]
        w = self.weights[i]
        gradient = self.problems.P[i] @ w + self.problems.q[i]
        least = float(gradient.min())
        status = Status.CERTIFIED if self.converged[i] else Status.INACCURATE
        return SolverResult(
            w,
            float(self.values[i]),
            float(self.gaps[i]),
            gradient - least,
            least,
            status,
            int(self.n_iter[i]),
            0.0,
            0.0,
            self.solver,
            float(self.scales[i]),
            self.tol,
            np.empty((len(w), 0)),
            ("solved in a batch; times are not kept per problem",),
        )

    def __iter__(self) -> Iterator[SolverResult]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        worst = float((self.gaps / self.scales).max(initial=0.0))
        return (
            f"SolverResults({len(self)} problems, k = {self.weights.shape[1]}, {int(self.converged.sum())} certified, "
            f"worst gap {worst:.1e} of scale)"
        )


def solve_many(
    problems: SimplexQPBatch | Sequence[SimplexQP] | tuple[Any, ...],
    solver: str | SimplexSolver = "auto",
    *,
    tol: float = 1e-9,
    max_iter: int | None = None,
    time_limit: float | None = None,
    rng: np.random.Generator | int | None = None,
    **options: Any,
) -> SolverResults:
    """Solve B quadratic problems of one dimension.

    Parameters
    ----------
    problems : SimplexQPBatch, sequence of SimplexQP, or tuple of arrays ``(P, q)`` or ``(P, q, r)``
        Arrays have shapes (B, k, k), (B, k) and (B,).
    solver : str or SimplexSolver
        "auto" and "active_set" run batched for k up to 24, from 16 problems on (fewer are solved sooner one by one),
        "torch_projected" always; any other solver is called once per problem. ``Cvxpy(constraints=...)`` keeps its
        constraints and translates the problem once for all of them.
    tol : float
        Largest accepted gap, relative to the scale of each problem.
    max_iter, time_limit, rng, **options
        As in `solve`, for each problem.

    Returns
    -------
    SolverResults

    Raises
    ------
    ValueError
        Invalid data; the message names the first bad problem.
    """
    backend = resolve_solver(solver, options)
    tol, max_iter = limits(tol, max_iter)
    source = seed(rng)
    batch = stacked(problems)
    B, k = batch.q.shape
    weights = np.empty((B, k))
    n_iter = np.zeros(B, dtype=np.intp)
    gaps, scales, values = np.empty(B), np.empty(B), np.empty(B)
    singles: dict[int, SolverResult] = {}
    pays = k > 1 and getattr(backend, "smallest_batch", 1) <= B
    size = backend.block_size(k) if isinstance(backend, BatchSolver) and pays else 0
    left: Sequence[int] = range(B)
    if size and isinstance(backend, BatchSolver):
        settled = np.empty(B, dtype=bool)
        for start in range(0, B, size):
            part = slice(start, start + size)
            settled[part] = _solve_part(backend, batch, part, tol, max_iter, weights, gaps, scales, n_iter)
        left = np.flatnonzero(~settled).tolist()
    compile_for = getattr(backend, "compiled", None)
    alone: SimplexSolver = backend if compile_for is None or len(left) < 2 else compile_for(k)
    for i in left:
        singles[i] = one = solve(batch[i], alone, tol=tol, max_iter=max_iter, time_limit=time_limit, rng=source)
        weights[i], gaps[i], scales[i], n_iter[i] = one.weights, one.gap, one.scale, one.n_iter
    for start in range(0, B, 4096):
        part = slice(start, start + 4096)
        w = weights[part]
        values[part] = 0.5 * np.einsum("bi,bij,bj->b", w, batch.P[part], w) + (batch.q[part] * w).sum(1) + batch.r[part]
    for array in (weights, values, gaps, scales, n_iter):
        array.setflags(write=False)
    return SolverResults(batch, weights, values, gaps, scales, n_iter, tol, backend.name, singles)


def stacked(problems: Any) -> SimplexQPBatch:
    """Bring the accepted forms of a batch to `SimplexQPBatch`."""
    if isinstance(problems, SimplexQPBatch):
        return problems
    if isinstance(problems, tuple) and len(problems) in (2, 3) and not isinstance(problems[0], SimplexQP):
        return SimplexQPBatch(*problems)
    if isinstance(problems, SimplexQP):
        raise ShapeError("problems is a single SimplexQP; call solve, or pass a list of problems")
    try:
        each = iter(problems)
    except TypeError:
        raise ArgumentTypeError(
            f"problems must be SimplexQPs, or arrays (P, q), got a {type(problems).__name__}"
        ) from None
    listed: list[SimplexQP] = []
    for i, problem in enumerate(each):
        if not isinstance(problem, SimplexQP):
            raise UnsupportedObjectiveError(
                f"problems[{i}] is a {type(problem).__name__}; solve_many takes SimplexQP, or arrays (P, q)"
            )
        listed.append(problem)
    if not listed:
        raise ShapeError("problems is empty; pass at least one SimplexQP")
    dims = sorted({problem.dim for problem in listed})
    if len(dims) > 1:
        raise ShapeError(f"problems have dimensions {dims}; group them by dimension and call solve_many for each group")
    return SimplexQPBatch([p.P for p in listed], [p.q for p in listed], [p.r for p in listed])


def _solve_part(
    backend: BatchSolver,
    batch: SimplexQPBatch,
    part: slice,
    tol: float,
    max_iter: int | None,
    weights: NDArray[np.float64],
    gaps: Vector,
    scales: Vector,
    n_iter: NDArray[np.intp],
) -> NDArray[np.bool_]:
    """Solve and certify one block in place; returns which problems are settled."""
    P = np.array(batch.P[part].transpose(1, 2, 0), order="C")  # copies, also of a block of one
    q = batch.q[part].T
    k = len(q)
    trace = np.einsum("iic->c", P)
    scale = np.maximum(trace / k, q.max(axis=0) - q.min(axis=0))
    scale[scale == 0.0] = 1.0
    # Anything unusual (asymmetric, not convex, not strictly convex, extreme scale) goes through `solve`, which names
    # the trouble or breaks the tie.
    usual = (scale > 1e-290) & (scale < 1e290) & (P.transpose(1, 0, 2) == P).all(axis=(0, 1))
    if not usual.all():
        # A stand-in, so that no number overflows; its answer is not used.
        P[:, :, ~usual] = np.eye(k)[:, :, None]
        q = np.where(usual, q, 0.0)
    factor = np.ldexp(1.0, np.where(usual, np.frexp(np.where(usual, scale, 1.0))[1] - 1, 0))
    P /= factor
    q = (q - q.min(axis=0)) / factor
    rounding = k * EPS * np.where(usual, trace / factor, k)
    usual &= _positive_definite(P, rounding)
    usual &= _positive_definite(P + 1.0, -10.0 * (rounding + k * k * EPS))
    w, rounds = backend.solve_block(P, q, tol=tol, max_iter=max_iter)
    w = np.maximum(w, 0.0)
    w /= w.sum(axis=0)
    g = np.einsum("ijc,jc->ic", P, w) + q
    gap = (w * (g - g.min(axis=0))).sum(axis=0)
    weights[part] = w.T
    gaps[part] = gap * factor
    scales[part] = scale
    n_iter[part] = rounds
    return np.asarray(usual & (gap <= tol))


def _positive_definite(P: NDArray[np.float64], shift: Vector) -> NDArray[np.bool_]:
    """Whether each ``P + shift I`` is positive definite; `P` (k, k, c), `shift` (c,)."""
    k = len(P)
    work = P.copy()
    work[np.arange(k), np.arange(k)] += shift
    positive = np.ones(P.shape[2], dtype=bool)
    for j in range(k):
        pivot = work[j, j]
        positive &= pivot > 0.0
        if j + 1 < k:
            ratio = np.divide(work[j, j + 1 :], pivot, out=np.zeros((k - j - 1, len(pivot))), where=pivot > 0.0)
            work[j + 1 :, j + 1 :] -= ratio[:, None] * work[j, None, j + 1 :]
    return positive
