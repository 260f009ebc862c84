"""Watching scores and trajectories while they are made: nothing that is not finite passes silently."""

import warnings
from dataclasses import dataclass, field
from typing import final

import numpy as np

from .._internal.aliases import Array, Float64Array, FloatArray
from .._internal.arrays import all_finite, astype, device_of, dtype_name, is_tensor, library, on_device, to_host, zeros
from ..errors import ModelError, NotFiniteError
from ..scores import FusedScore, ScoreModel
from .errors import DivergenceError, DivergenceWarning

_ESCAPED = 1e12  # no data live here; larger values could not be squared in float32


@final
@dataclass(eq=False)
class CountedScore:
    """A score model that counts its evaluations and checks every answer."""

    model: ScoreModel
    name: str
    parts: tuple[ScoreModel, ...] = ()
    evaluations: int = field(default=0, init=False)

    def __call__(self, x: Array, t: float) -> Array:
        """Score at x (n, d) and time t in the dtype of x; ModelError if the answer has another shape, NotFiniteError
        that names the model, the time and the point if it holds a NaN or an infinity.
        """
        s = self.unchecked(x, t)
        if not all_finite(s):
            self.name_the_model(s, x, t)
        return s

    def unchecked(self, x: Array, t: float) -> Array:
        """The same without a look at the values, for callers that look at a combination of them."""
        self.evaluations += 1
        if is_tensor(x):
            found = self.model.score(x, t)
            if not is_tensor(found) or found.shape != x.shape or found.device != x.device:
                what = f"{tuple(found.shape)} on {found.device}" if is_tensor(found) else f"a {type(found).__name__}"
                raise ModelError(f"{self.name} returned {what} for a tensor of points {tuple(x.shape)} on {x.device}")
            return astype(found, dtype_name(x))
        s = _of_shape(np.asarray(self.model.score(x, t)), x, self.name)
        return s if s.dtype == x.dtype else s.astype(x.dtype)

    def name_the_model(self, s: Array, x: Array, t: float) -> None:
        """Raise NotFiniteError for a score s (n, d) that is not finite, naming the part of the model that made it."""
        name = self.name
        for i, part in enumerate(self.parts):
            answer = to_host(part.score(x, t))
            if not np.all(np.isfinite(answer)):
                name, s = f"models[{i}] ({type(part).__name__})", answer
                break
        raise _not_finite(to_host(s), to_host(x), t, name)


def _of_shape(s: FloatArray, x: FloatArray, name: str) -> FloatArray:
    if s.shape != x.shape:
        raise ModelError(f"{name} returned shape {s.shape} for points of shape {x.shape}")
    if s.dtype.kind != "f":
        raise ModelError(f"{name} returned dtype {s.dtype}; a score must be real and floating")
    return s


def _not_finite(s: FloatArray, x: FloatArray, t: float, name: str) -> NotFiniteError:
    row, column = (int(v) for v in np.argwhere(~np.isfinite(s))[0])
    return NotFiniteError(
        f"score of {name} at t = {t:.6g} is {s[row, column]} at [{row}, {column}], x = {x[row, column]:.6g}; "
        "a score must be finite wherever a trajectory can go (raise t_min, or repair the model)"
    )


def prior_scores(fused: FusedScore, t: float, n: int) -> tuple[Float64Array, list[FloatArray]]:
    """Points of the prior at time t (n, d), and the score there of every active model, in the order of the support;
    ModelError or NotFiniteError that names the model if an answer is not a finite real array of the points' shape, or
    the model writes into its points.
    """
    points = fused.process.prior_std(t) * np.random.default_rng(0).standard_normal((n, fused.dim))
    found = []
    for i in fused.support:
        x, name = points.copy(), f"models[{i}] ({type(fused.models[i]).__name__})"
        s = fused.models[i].score(x, t)
        if not isinstance(s, np.ndarray) or isinstance(s, np.ma.MaskedArray):
            raise ModelError(
                f"{name} returned a {type(s).__module__}.{type(s).__name__}; a score must be a numpy array (of a "
                "tensor: s.detach().cpu().numpy(); of a network: wrap it in sfbench.nets.NetworkScore)"
            )
        s = _of_shape(s, points, name)
        if not np.all(np.isfinite(s)):
            raise _not_finite(s, points, t, name)
        if not np.array_equal(x, points):
            raise ModelError(f"{name} writes into the points it is given; let it work on a copy")
        found.append(s)
    return points, found


@final
@dataclass(eq=False)
class Survivors:
    """Trajectories still alive, and the time at which the first was lost.

    Where the host does not look (:attr:`SampleRequest.looks`), the largest coordinate so far is kept on the device, and
    read at the end.
    """

    n: int
    looks: bool = True
    alive: np.ndarray = field(init=False)
    first_lost_at: float | None = field(default=None, init=False)
    _extent: Array = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.alive = np.arange(self.n)

    def drop(self, x: Array, t: float) -> np.ndarray | None:
        """Rows of x (alive, d) to keep, or None if all are within bounds, or nobody looks yet."""
        if not self.looks:
            extent = abs(x).max()
            self._extent = extent if self._extent is None else library(x).maximum(self._extent, extent)
            return None
        extent = float(abs(x).max()) if len(x) else 0.0
        if extent < _ESCAPED:  # false for NaN too
            return None
        keep: np.ndarray = np.all(np.abs(to_host(x)) < _ESCAPED, axis=1)
        if self.first_lost_at is None:
            self.first_lost_at = t
        self.alive = self.alive[keep]
        if len(self.alive) == 0:
            raise DivergenceError(
                f"all {self.n} trajectories diverged by t = {t:.4g}; take more steps, a log-SNR grid or an exponential "
                "integrator"
            )
        return keep

    @property
    def missed(self) -> bool:
        """Whether points were lost while nobody looked. Waits for a device."""
        return self._extent is not None and not float(self._extent) < _ESCAPED

    @property
    def lost_share(self) -> float:
        """Share of the trajectories lost."""
        return 1.0 - len(self.alive) / self.n

    def restore(self, x: Array) -> Array:
        """Points (n, d) with NaN rows for the lost."""
        if len(self.alive) == self.n:
            return x
        out = zeros((self.n, x.shape[1]), x) + np.nan
        out[on_device(self.alive, device_of(x))] = x
        return out

    def report(self, max_lost: float) -> tuple[str, ...]:
        """Messages about lost trajectories; raises DivergenceError above the allowed share, warns below it."""
        share = self.lost_share
        if share == 0.0:
            return ()
        message = (
            f"{share:.2%} of {self.n} trajectories diverged, the first at t = {self.first_lost_at:.4g}; the others are "
            "no fair sample of the law (take more steps, a log-SNR grid or an exponential integrator)"
        )
        if share > max_lost:
            raise DivergenceError(f"{message}; allowed share: {max_lost:.2%}")
        warnings.warn(message, DivergenceWarning, stacklevel=4)
        return (message,)

    def log_weights(self, values: Float64Array | None = None) -> Float64Array:
        """Normalised log weights (n,) from those of the survivors (equal by default), minus infinity for the lost."""
        out = np.full(self.n, -np.inf)
        given = np.zeros(len(self.alive)) if values is None else values
        top = given.max()
        out[self.alive] = given - top - np.log(np.exp(given - top).sum())
        return out
