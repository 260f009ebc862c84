"""A stack of quadratic problems of one dimension."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .errors import InvalidProblemError, ShapeError
from .problem import Matrix, SimplexQP, Vector
from .validation import LARGEST, frozen, real_array, require_finite


@dataclass(frozen=True, slots=True, init=False, eq=False)
class SimplexQPBatch:
    """B quadratic problems of one dimension, stacked: the input of `solve_many`.

    Parameters
    ----------
    P : (B, k, k) real array
    q : (B, k) real array
    r : (B,) real array or float

    Notes
    -----
    Shapes and finiteness are checked here in one pass; symmetry and convexity by `solve_many`, which also names the
    first bad problem. The arrays are copied and read-only. Indexing gives the validated `SimplexQP`.
    """

    P: Matrix
    q: Vector
    r: Vector

    def __init__(self, P: ArrayLike, q: ArrayLike, r: ArrayLike = 0.0) -> None:
        matrices, _ = real_array(P, "P", ("B", "k", "k"))
        vectors, _ = real_array(q, "q", ("B", "k"))
        if matrices.shape[1] != matrices.shape[2] or matrices.shape[1] == 0:
            raise ShapeError(f"P must have shape (B, k, k) with k >= 1, got {matrices.shape}")
        if vectors.shape != matrices.shape[:2]:
            raise ShapeError(f"q must have shape {matrices.shape[:2]} to match P, got {vectors.shape}")
        offsets, _ = real_array(r, "r")
        if offsets.shape not in {(), (len(vectors),)}:
            raise ShapeError(f"r must be a number or have shape ({len(vectors)},), got {offsets.shape}")
        for array, name in ((matrices, "P"), (vectors, "q"), (offsets, "r")):
            require_finite(array, name, LARGEST)
        object.__setattr__(self, "P", frozen(matrices))
        object.__setattr__(self, "q", frozen(vectors))
        object.__setattr__(self, "r", frozen(np.broadcast_to(offsets, (len(vectors),))))

    @property
    def dim(self) -> int:
        """Number of weights of each problem, k."""
        return int(self.q.shape[1])

    def __len__(self) -> int:
        return len(self.q)

    def __getitem__(self, index: int) -> SimplexQP:
        try:
            return SimplexQP(self.P[index], self.q[index], float(self.r[index]))
        except InvalidProblemError as error:
            raise type(error)(f"problem {index} of the batch: {error}") from None

    def __iter__(self) -> Iterator[SimplexQP]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"SimplexQPBatch({len(self)} problems, dim={self.dim})"
