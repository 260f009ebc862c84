"""What a sampler returns: points, weights, the law they follow, and what is known about their quality."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import final

import numpy as np

from synthetic import Estimate

from .._internal.aliases import Array, Float64Array, SeedLike
from .._internal.arrays import float64_on_host, take
from .._internal.html import html_table
from .._internal.validation import as_count, as_generator
from ..errors import NotFiniteError, SfbenchError
from .resampling import effective_size, systematic


@final
@dataclass(frozen=True, eq=False)
class Diagnostics:
    """How a sample was made and whether to trust it.

    Attributes
    ----------
    sampler : str
        The sampler and its options.
    n_steps, n_score_evaluations : int
        Steps, and evaluations of the score that was followed.
    n_model_evaluations : int or None
        Evaluations of single models that a point cost: k times those of the fused score for k models of positive
        weight, and as many as those of a switched score. None if the sampler does not count them.
    lost_share : float
        Share of trajectories that left every bound; their rows are NaN with weight zero.
    ess : array (s,) or None
        Effective share of the particles, in (0, 1], after each weighting; of the worst block if there are several.
    n_resamplings : int
        How often particles were resampled.
    founders : float or None
        Effective number of initial particles from which the final weight descends (of the worst block).
    log_partition : Estimate or None
        ``log Z_{t_min}(w) - log Z_T(w)``, which tends to ``log Z(w)``. Its standard error is the root of the sum of
        squares of ``log_partition_errors``.
    log_partition_errors : mapping of str to float
        What the error of log Z is made of: ``"sampling"``, ``"steps"`` (absent if they were not checked), ``"prior"``
        and ``"noise left"``.
    step_error : Estimate or None
        The error that the steps leave in log Z, from a tenth of the particles and longer steps.
    step_difference : float or None
        What the total variation that the steps leave exceeds, with some certainty; None if not checked.
    noise_left : float or None
        Total variation that undoing the noise left at ``t_min`` would make, to first order.
    prior_mismatch : float or None
        Total variation between prior and fused marginal at the first time, roughly.
    messages : tuple of str
        What is wrong, in plain words; empty means that nothing was found.
    """

    sampler: str
    n_steps: int
    n_score_evaluations: int
    lost_share: float = 0.0
    ess: Float64Array | None = None
    n_resamplings: int = 0
    founders: float | None = None
    log_partition: Estimate | None = None
    log_partition_errors: Mapping[str, float] = field(default_factory=dict)
    step_error: Estimate | None = None
    step_difference: float | None = None
    noise_left: float | None = None
    prior_mismatch: float | None = None
    n_model_evaluations: int | None = None
    messages: tuple[str, ...] = ()

    @property
    def trustworthy(self) -> bool:
        """Whether no check failed. Modes that no particle ever visited cannot be seen from inside."""
        return not self.messages

    def __repr__(self) -> str:
        trust = "trustworthy" if self.trustworthy else f"{len(self.messages)} doubts"
        worst = "" if self.ess is None else f", effective share {self.ess.min():.1%} at worst"
        founders = "" if self.founders is None else f", {self.founders:.0f} founders"
        return f"Diagnostics({trust}; {self.n_steps} steps, {self.n_score_evaluations} evaluations{worst}{founders})"


@final
@dataclass(frozen=True, eq=False)
class SampleResult:
    """Weighted points and the name of the law that they follow.

    Attributes
    ----------
    x : array (n, d)
        Points; a tensor on its device if one was asked for.
    log_weights : array (n,)
        Log weights, normalised to sum to one on the natural scale; all equal for unweighted samplers.
    law : str
        The law sampled as steps and (for weighted particles) particles increase.
    t_min : float
        The time at which the reverse process was stopped: x follows the law with noise ``sigma(t_min)`` left.
    diagnostics : Diagnostics
        Cost and quality.
    shape : tuple of int or None
        Sizes of one item, such as (channels, height, width), where the models say it.
    """

    x: Array
    log_weights: Float64Array
    law: str
    t_min: float
    diagnostics: Diagnostics
    shape: tuple[int, ...] | None = None

    @property
    def items(self) -> Array:
        """Points in the shape of the models' items, (n, channels, height, width) for example; x if they have none."""
        return self.x if self.shape is None else self.x.reshape(len(self.x), *self.shape)

    @property
    def weights(self) -> Float64Array:
        """Normalised weights (n,)."""
        return np.exp(self.log_weights)

    @property
    def ess(self) -> float:
        """Effective number of points, ``1 / sum weights^2``; blind to shared ancestors (``diagnostics.founders``)."""
        return effective_size(self.log_weights) * len(self.log_weights)

    def expectation(self, function: Callable[[Array], Array]) -> Estimate:
        """Weighted mean of ``function(x) -> (n,)`` with the standard error of self-normalised weights.

        The error neglects the dependence that resampling creates.
        """
        kept = self.log_weights > -np.inf
        values = float64_on_host(function(take(self.x, kept)))
        w = self.weights[kept]
        if values.shape != w.shape:
            raise SfbenchError(f"function must return one number per point, shape {w.shape}, got {values.shape}")
        if not np.all(np.isfinite(values)):
            row = int(np.argmin(np.isfinite(values)))
            raise NotFiniteError(f"function returned {values[row]} at the point {take(self.x, kept)[row].tolist()[:8]}")
        mean = float(w @ values)
        return Estimate(mean, float(np.sqrt(np.sum(w**2 * (values - mean) ** 2))), int(kept.sum()), "weighted mean")

    def resampled(self, n: int | None = None, *, rng: SeedLike = None) -> Array:
        """Equally weighted points (n, d) drawn from the weighted ones by systematic resampling, in random order."""
        count = len(self.x) if n is None else as_count("n", n)
        generator = as_generator(rng)
        chosen = systematic(self.weights, generator, count)
        return take(self.x, generator.permutation(chosen))

    def _rows(self) -> list[tuple[str, str]]:
        """What is known about the points, by what it is called."""
        d, n = self.diagnostics, len(self.x)
        rows = [("sampler", f"{d.sampler}; {d.n_steps} steps, {d.n_score_evaluations} score evaluations")]
        if d.ess is not None:
            founders = "" if d.founders is None else f", {d.founders:.0f} effective founders"
            now = f"{self.ess:.0f} of {n} now, {d.ess.min():.1%} at worst, {d.n_resamplings} resamplings{founders}"
            rows.append(("effective particles", now))
        if d.log_partition is not None:
            parts = ", ".join(f"{name} {value:.2g}" for name, value in d.log_partition_errors.items())
            rows.append(("log Z", f"{d.log_partition.value:.6g} +- {d.log_partition.stderr:.2g} ({parts})"))
        if d.lost_share:
            rows.append(("lost trajectories", f"{d.lost_share:.2%}"))
        return rows

    @property
    def _title(self) -> str:
        return f"{len(self.x)} points in dimension {self.x.shape[1]} from the {self.law} at t = {self.t_min:.3g}"

    def __repr__(self) -> str:
        lines = [self._title, *(f"  {name}: {value}" for name, value in self._rows())]
        lines += [f"  WARNING: {message}" for message in self.diagnostics.messages]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        notes = [f"warning: {message}" for message in self.diagnostics.messages]
        return html_table(self._title, ("what", "value"), self._rows(), notes)
