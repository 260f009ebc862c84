r"""A torch module as a score model: what it predicts, under which process, on which device, in which precision.

``score`` keeps the kind of its points: numpy arrays give numpy arrays, tensors give tensors on their device, without a
copy through the host. Points are evaluated in batches, so no more than one batch of activations lives at a time.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from typing import Any, ClassVar, TypeVar, final

import numpy as np
import torch
from torch import Tensor, nn

from .._internal.aliases import FloatArray
from .._internal.arrays import as_device
from .._internal.validation import as_count, as_flag
from ..errors import ModelError, NotFiniteError
from ..processes import ForwardProcess
from ..processes.base import as_process
from .inputs import as_condition, as_range, as_shape, as_tensor, as_times
from .parameterisation import Parameterisation
from .rows import FEWEST, rows_that_fit
from .speedups import as_backend, compiled, filled, in_precision
from .wiring import TimeArgument, Times, Wiring, as_wiring, device_of, dtype_of, first_tensor, is_out_of_memory

_LARGEST_PRODUCT = 1 << 22  # numbers in a batch of directions
Points = TypeVar("Points", FloatArray, Tensor)


@dataclass
class _Memory:
    """What was learned about a module by calling it."""

    is_trusted: bool = False
    rows: int | None = None  # that fit into memory
    loops_over_probes: bool | None = None  # None: not tried


@final
@dataclass(frozen=True, eq=False, repr=False)
class NetworkScore:
    """Score model backed by a network of any origin.

    The first call is checked: a network that writes into its input, or returns numbers that are not finite at finite
    points, is refused. Shape, type and device of what it returns are checked at every call.

    Parameters
    ----------
    module : nn.Module
        Called as ``module(x, t)`` with x (n, d) or (n, C, H, W) and t (n,), both in its own precision on its device. It
        returns a tensor like x, a tuple that begins with one, or an object with a tensor ``.sample`` or ``.logits``.
        Put into evaluation mode.
    dim : int or tuple of int
        Dimension d, or the shape of one item, such as (channels, height, width): then the module sees
        (n, channels, ...). Points are (n, d) in either case.
    process : ForwardProcess
        The process under which it was trained; fusing models of different processes is refused.
    parameterisation : {"epsilon", "v", "x0", "score", "velocity", "edm"} or EDM
        What it predicts; also "eps", "v_prediction", "sample", "flow_prediction". Networks of this package say it
        themselves (attribute ``parameterisation``); for others there is no default.
    batch : int, optional
        Points evaluated at a time; halved for good when memory runs out. By default a power of two up to 8192 found
        from the largest activation of one point: on a CPU the activations of a batch should stay in its cache, on an
        accelerator they should fill it, within a part of its free memory. Never timed: the same network gives the same
        bits on every run.
    shape : tuple of int, optional
        As a tuple for ``dim``.
    time : {"t", "scaled", "timestep", "log_snr", "sigma", "c_noise"} or function
        What the module takes for time: t, 1000 t, the step number of a process of :func:`processes.from_betas`,
        ``log(alpha^2 / sigma^2)``, ``sigma_t``, ``log(sigma / alpha) / 4`` (the default for EDM), or a function of
        times (n,), float64 on the CPU; it may return integers, for modules that look them up in a table.
    t_range : (float, float), optional
        Times for which it was trained; by default the module's own ``t_range``, or, for timesteps, those of the table.
    condition_name : str, optional
        Name of the argument by which the module takes a condition, such as "class_labels"; networks of this package
        say it themselves.
    condition : int or array, optional
        One label or embedding for all points, where :meth:`score` is given none.
    dtype : torch.dtype, optional
        Precision in which a copy of the module computes, such as ``torch.bfloat16``; by default that of its weights.
        Points and scores keep their own.
    channels_last : bool
        Let the convolutions of a copy compute with the channels of a pixel side by side in memory.
    compile : bool or str
        Let :func:`torch.compile` (by the backend of that name) make the calls of whole batches faster: the first takes
        from seconds to minutes. Batches that are more than half full are filled up with copies, so that there is one
        shape to compile; smaller ones, derivatives and :meth:`evaluate` go through the module itself.

    Raises
    ------
    ModelError
        For arguments that do not fit the module or one another; the message names the argument.
    """

    module: nn.Module
    dim: int
    process: ForwardProcess
    parameterisation: Parameterisation
    batch: int | None
    shape: tuple[int, ...] | None
    time: TimeArgument
    t_range: tuple[float, float] | None
    condition_name: str | None
    condition: Any
    channels_last: bool
    compile: bool | str
    _memory: _Memory = field(init=False)
    takes_times: ClassVar[bool] = True  # score takes a time for each point, so that many times share a call

    def __init__(
        self,
        module: nn.Module,
        dim: int | tuple[int, ...],
        process: ForwardProcess,
        parameterisation: "Parameterisation | str | None" = None,
        batch: int | None = None,
        *,
        shape: tuple[int, ...] | None = None,
        time: "TimeArgument | None" = None,
        t_range: tuple[float, float] | None = None,
        condition_name: str | None = None,
        condition: Any = None,
        dtype: torch.dtype | None = None,
        channels_last: bool = False,
        compile: bool | str = False,
    ) -> None:
        if not isinstance(module, nn.Module):
            raise ModelError(f"module is a {type(module).__name__}; a torch.nn.Module is needed")
        if isinstance(dim, tuple | list):
            shape, dim = tuple(dim) if shape is None else shape, prod(as_shape(dim))
        dim = as_count("dim", dim, error=ModelError)
        if shape is not None and prod(as_shape(shape)) != dim:
            raise ModelError(f"shape {tuple(shape)} has {prod(shape)} entries, but dim is {dim}")
        if (own := getattr(module, "dim", dim)) != dim:
            raise ModelError(f"the network was built for dimension {own}, not {dim}")
        if (trained := getattr(module, "process", as_process(process, ModelError))) != process:
            raise ModelError(f"the network was built for {trained!r}, not {process!r}")
        if parameterisation is None:
            parameterisation = getattr(module, "parameterisation", None)
        if parameterisation is None:
            raise ModelError(
                f"parameterisation= must say what this {type(module).__name__} predicts: 'epsilon' (noise, as DDPM), "
                "'v', 'x0', 'score', 'velocity' (flow matching) or 'edm'; a wrong one gives wrong scores silently"
            )
        form = None if shape is None else as_shape(shape)
        wiring = as_wiring(module, process, parameterisation, shape=form, time=time, condition_name=condition_name)
        if condition is not None and wiring.condition_name is None:
            raise ModelError("condition= needs condition_name=, the argument by which the module takes it")
        device_of(module)
        module = in_precision(module, dtype, as_flag("channels_last", channels_last, ModelError))
        for name, value in (
            ("module", module.eval()),
            ("dim", dim),
            ("process", process),
            ("parameterisation", wiring.parameterisation),
            ("batch", None if batch is None else as_count("batch", batch, error=ModelError)),
            ("shape", wiring.shape),
            ("time", wiring.time),
            ("t_range", as_range(t_range, module, wiring)),
            ("condition_name", wiring.condition_name),
            ("condition", condition),
            ("channels_last", bool(channels_last)),
            ("compile", as_backend(compile)),
            ("_memory", _Memory()),
        ):
            object.__setattr__(self, name, value)

    @cached_property
    def wiring(self) -> Wiring:
        """How the module is called."""
        return Wiring(
            self.process, self.parameterisation, self.shape, self.time, self.condition_name, self.channels_last
        )

    @cached_property
    def _compiled(self) -> nn.Module:
        return compiled(self.module, self.compile)

    @property
    def device(self) -> torch.device:
        """Where the network lives."""
        tensor = first_tensor(self.module)
        return torch.device("cpu") if tensor is None else tensor.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of its parameters."""
        return dtype_of(self.module) or torch.float64

    @property
    def preferred_rows(self) -> int:
        """Points that one call of the network takes best: the batch, or what fits into memory."""
        self._memory.rows = self._memory.rows or self.batch or rows_that_fit(self)
        return self._memory.rows

    @property
    def is_checked(self) -> bool:
        """Whether its first call was made, and found right."""
        return self._memory.is_trusted

    def __repr__(self) -> str:
        what = f"{sum(p.numel() for p in self.module.parameters()):,} weights, predicts {self.parameterisation}"
        return f"NetworkScore({type(self.module).__name__}, {what}, {self.device})"

    def to(self, *, device: str | torch.device | None = None, dtype: torch.dtype | None = None) -> "NetworkScore":
        """A copy on another device or in another precision."""
        place = None if device is None else as_device(device, ModelError, may_be_empty=True)
        return replace(self, module=deepcopy(self.module).to(device=place, dtype=dtype))

    def given(self, condition: Any) -> "NetworkScore":
        """The same network under one label or embedding for all points: a score model like any other."""
        return replace(self, condition=condition)

    def score(self, x: Points, t: float | FloatArray | Tensor, condition: Any = None) -> Points:
        """Score at points x.

        Parameters
        ----------
        x : array or tensor (n, d)
            Tensors of single or double precision on the network's device; arrays may hold integers, too.
        t : float or (n,)
            One time, or one for each point.
        condition : int or array, optional
            Labels (n,) or embeddings (n, ...), or one label for all points.

        Returns
        -------
        array or tensor (n, d)
            As x, in its dtype (float64 for integers).
        """
        points, times, conditions = self._inputs(x, t, condition)
        out: Tensor | None = None

        def evaluate(rows: slice) -> None:
            nonlocal out
            found = self._checked(self._part(points, rows), rows_of(times, rows), rows_of(conditions, rows))
            if rows.start == 0 and rows.stop >= len(points) and self.parameterisation != "score":  # made here
                out = found.to(points)
                return
            out = torch.empty_like(points) if out is None else out
            out[rows] = found

        with torch.no_grad():
            self._in_batches(len(points), evaluate)
        scores = torch.empty_like(points) if out is None else out
        return scores if isinstance(x, Tensor) else scores.numpy()

    def evaluate(self, x: Tensor, t: float | FloatArray | Tensor, condition: Any = None) -> Tensor:
        """Score of a tensor x (n, d) in one call, differentiable in x and the weights."""
        return self.wiring.score(self.module, x, as_times(t, len(x)), self._conditions(condition, len(x)))

    def score_and_projections(
        self, x: Points, t: float | FloatArray | Tensor, probes: Points, condition: Any = None
    ) -> tuple[Points, Points]:
        """Score (n, d), and its Jacobian J on both sides of directions v, ``v' J v``, by automatic differentiation.

        Parameters
        ----------
        x, t, condition
            As for :meth:`score`.
        probes : array or tensor (m, n, d) or (m, 1, d)
            Directions. Means over random signs estimate the divergence; sums over the d unit vectors are it.

        Returns
        -------
        score (n, d), projections (m, n)
            As x; one forward pass and m backward passes, taken together where the network allows it.
        """
        points, times, conditions = self._inputs(x, t, condition)
        directions = probes if isinstance(probes, Tensor) else torch.from_numpy(np.array(probes, points.numpy().dtype))
        if directions.ndim != 3 or directions.shape[1] not in (1, len(points)) or directions.shape[2] != self.dim:
            raise ModelError(
                f"probes must have shape (m, {len(points)}, {self.dim}) or (m, 1, {self.dim}), got "
                f"{tuple(directions.shape)}"
            )
        scores = torch.empty_like(points)
        products = points.new_empty((len(directions), len(points)))

        def evaluate(rows: slice) -> None:
            leaf = self._part(points, rows).detach().clone().requires_grad_(True)
            with torch.enable_grad():
                value = self._checked(leaf, rows_of(times, rows), rows_of(conditions, rows))
            along = directions if directions.shape[1] == 1 else directions[:, rows]
            scores[rows] = value.detach()
            products[:, rows] = self._products(value, leaf, along).to(products)

        self._in_batches(len(points), evaluate)
        return (scores, products) if isinstance(x, Tensor) else (scores.numpy(), products.numpy())

    # ------------------------------------------------------------------ the border
    def _inputs(self, x: Any, t: Any, condition: Any) -> tuple[Tensor, Times, Tensor | None]:
        points = as_tensor(x, self.dim, self.device)
        return points, as_times(t, len(points)), self._conditions(condition, len(points))

    def _part(self, points: Tensor, rows: slice) -> Tensor:
        """Some points on the device, in at least single precision."""
        return points[rows].to(device=self.device, dtype=torch.promote_types(self.dtype, torch.float32))

    def _checked(self, x: Tensor, t: Times, condition: Tensor | None) -> Tensor:
        """Scores; at the first call also that the network left x alone and returned finite numbers."""
        if self._memory.is_trusted:
            return self._called(x, t, condition)
        with torch.no_grad():
            given = x.detach().clone()
            found = self.wiring.score(self.module, given, t, condition)
            name = type(self.module).__name__
            if not torch.equal(given.nan_to_num(), x.nan_to_num()):
                raise ModelError(f"{name} writes into the points it is given; begin its forward with x = x.clone()")
            wrong = torch.isfinite(x).all(dim=1) & ~torch.isfinite(found).all(dim=1)
            if bool(wrong.any()):
                row = int(wrong.nonzero()[0])
                when = t if isinstance(t, float) else float(t[row])
                raise NotFiniteError(
                    f"{name} returned {found[row][~torch.isfinite(found[row])][0]:g} at a finite point (row {row}) and "
                    f"t = {when:g}; look at its weights, its precision ({self.dtype}) and its range of times (t_range=)"
                )
        self._memory.is_trusted = True
        return self.wiring.score(self.module, x, t, condition) if torch.is_grad_enabled() else found

    def _called(self, x: Tensor, t: Times, condition: Tensor | None) -> Tensor:
        """Scores in one call, for whole batches of the compiled module if there is one."""
        n, rows = len(x), self._memory.rows or 0
        if not self.compile or torch.is_grad_enabled() or not rows < 2 * n <= 2 * rows:
            return self.wiring.score(self.module, x, t, condition)
        batch = (filled(x, rows), filled(t, rows), filled(condition, rows))
        return self.wiring.score(self._compiled, *batch)[:n]

    def _products(self, value: Tensor, leaf: Tensor, directions: Tensor) -> Tensor:
        """``v' J v`` (m, n) for directions (m, n, d) or (m, 1, d), many at a time on accelerators."""
        parts = []
        loops = self._memory.loops_over_probes
        if loops is None:  # a CPU gains nothing from directions taken together (measured: up to half as fast)
            loops = leaf.device.type == "cpu"
        together = 1 if loops else max(1, _LARGEST_PRODUCT // max(1, leaf.numel()))
        start = 0
        while start < len(directions):
            along = directions[start : start + together].to(value).expand(-1, *value.shape)
            try:
                if len(along) == 1:
                    (gradient,) = torch.autograd.grad(value, leaf, along[0], retain_graph=True)
                    gradient = gradient[None]
                else:
                    (gradient,) = torch.autograd.grad(value, leaf, along, retain_graph=True, is_grads_batched=True)
            except RuntimeError as error:
                if together == 1 or is_out_of_memory(error):
                    raise
                self._memory.loops_over_probes, together = True, 1  # some operation has no batched derivative
                continue
            parts.append((gradient * along).sum(dim=2))
            start += together
        return torch.cat(parts)

    def _in_batches(self, n: int, evaluate: Callable[[slice], None]) -> None:
        """Call with all rows, a batch at a time, with smaller batches where memory runs out."""
        start = 0
        while start < n:
            small = self.batch is None and self._memory.rows is None and n <= FEWEST
            rows = n if small else self.preferred_rows
            try:
                evaluate(slice(start, start + rows))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                rows = min(rows, n - start)
                if rows == 1:
                    raise ModelError(
                        f"{self.device} has not enough memory for one point of dimension {self.dim} through "
                        f"{type(self.module).__name__}; use a smaller precision, score.to(dtype=torch.bfloat16), or "
                        "another device"
                    ) from None
                self._memory.rows = rows // 2  # for good: what failed once would fail again
                continue
            start += rows

    def _conditions(self, condition: Any, n: int) -> Tensor | None:
        """Conditions (n, ...) on the device, those of the call or the network's own."""
        if (chosen := self.condition if condition is None else condition) is None:
            return None
        if self.condition_name is None:
            raise ModelError(
                "this network takes no condition; NetworkScore(condition_name='class_labels') names the argument by "
                "which its module does"
            )
        return as_condition(chosen, n, self.device, self.dtype, one_for_all=condition is None)


def rows_of(values: Any, rows: slice) -> Any:
    """Some rows of a tensor; anything else as it is."""
    return values[rows] if isinstance(values, Tensor) else values
