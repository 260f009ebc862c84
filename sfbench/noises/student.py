r"""Heavy-tailed noise: Student's t as a Gaussian scale mixture, on the augmented state (x, s).

Every trajectory draws one scale ``S ~ InvGamma(df / 2, df / 2)``, independent of its start and shared by all models:

    X_t | X_0, S  ~  N(alpha_t X_0, S sigma_t^2 I),        so that X_t | X_0 is Student's t with df degrees of freedom.

Given S everything is Gaussian. In ``Y = X / sqrt(S)`` even the process is the usual one, and only scores know s:

    s(y, t | s) = sqrt(s) grad log p_t(sqrt(s) y | s).

So this is fusion of conditional models, the scale their condition. J is an average of quadratics, hence one; the pool
of the augmented laws at time 0 is ``p_w(x) rho(s)``: the KL barycenter is kept, and so are correction and certificate.
Derivations, other ways to augment and what they lose: ``docs/theory/noises.md``.
"""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import scipy  # submodules load on first use
from numpy.typing import ArrayLike

from synthetic import DiffusableLaw

from .._internal.aliases import Float64Array, SeedLike
from .._internal.validation import as_count, as_generator, as_items, as_kind, as_points, as_positive
from ..errors import ModelError, SfbenchError
from ..fusion import FusionResult
from ..fusion import fuse as fuse_conditional
from ..processes import ForwardProcess
from ..processes.base import as_process
from ..sampling import SampleResult, TrustWarning
from ..sampling import sample as sample_conditional
from ..sampling.corrected import FEWEST_FOUNDERS
from ..scores import FusedScore, ScoreModel

__all__ = ["ScaledScore", "fuse", "noise_scales", "sample", "scaled_scores"]

_FOUNDERS = "all weight descends from"
_STRATA = 64
_MOST_STRATA = 1024
_MOST = 10**9  # points
_CONDITION = "condition is the scale here, which is drawn from df; leave it out"


@final
@dataclass(frozen=True, eq=False)
class ScaledScore:
    """The score of a law under noise of random scale, in the coordinates ``y = x / sqrt(s)``; s is its condition.

    Parameters
    ----------
    law : DiffusableLaw
        The law of x at time 0.
    process : ForwardProcess
        The process of y.

    Notes
    -----
    Each distinct scale costs a call of the law: draw scales from :func:`noise_scales`.
    """

    law: DiffusableLaw
    process: ForwardProcess

    def __post_init__(self) -> None:
        as_process(self.process)
        if not (hasattr(self.law, "diffuse") and hasattr(self.law, "affine")):
            raise ModelError(f"law must have diffuse and affine, got a {type(self.law).__name__}")

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.law.dim

    @property
    def t_range(self) -> tuple[float, float]:
        """Times at which the score is valid: all."""
        return (0.0, np.inf)

    def given(self, s: float) -> DiffusableLaw:
        """The law of ``Y_0 = X_0 / sqrt(s)``."""
        return self.law.affine(1.0 / np.sqrt(as_positive("s", s, ModelError)))

    def score(self, y: Float64Array, t: float, condition: ArrayLike) -> Float64Array:
        """Score at points y (n, d), time t and scales ``condition`` (n,), shape (n, d)."""
        alpha, sigma = float(self.process.alpha(t)), float(self.process.sigma(t))
        scales, where = np.unique(np.broadcast_to(np.ravel(condition), len(y)), return_inverse=True)
        out = np.empty(y.shape)
        for j, s in enumerate(scales):
            rows = where == j
            out[rows] = self.given(float(s)).diffuse(alpha, sigma).score(y[rows])
        return out


def noise_scales(df: float, n: int, *, strata: int = _STRATA, rng: SeedLike = None) -> Float64Array:
    """Scales (n,) of Student noise, of at most ``strata`` different values, in random order.

    One value is drawn in each of the strata of equal mass, so averages over scales are unbiased, and nearly exact for
    what depends smoothly on the quantile of the scale.

    Raises
    ------
    SfbenchError
        For a number of degrees of freedom, points or strata that is not one.
    """
    df, count = as_positive("df", df), as_count("n", n, at_most=_MOST)
    parts, generator = min(as_count("strata", strata, at_most=_MOST_STRATA), count), as_generator(rng)
    levels = (np.arange(parts) + generator.random(parts)) / parts
    values = scipy.stats.invgamma(0.5 * df, scale=0.5 * df).ppf(levels)
    repeats, rest = divmod(count, parts)
    chosen = np.concatenate([np.repeat(np.arange(parts), repeats), generator.permutation(parts)[:rest]])
    return np.asarray(values[generator.permutation(chosen)], dtype=np.float64)


def fuse(
    laws: Iterable[DiffusableLaw | ScoreModel],
    x: ArrayLike,
    *,
    df: float,
    process: ForwardProcess,
    strata: int = _STRATA,
    rng: SeedLike = None,
    **options: Any,
) -> FusionResult:
    """Fit weights under Student noise; see :func:`sfbench.fuse` for the options.

    Parameters
    ----------
    laws : sequence of laws, or of models with ``score(y, t, condition=)``
    x : array_like, shape (n, d)
        Samples of the target.
    df : float
        Degrees of freedom of the noise.
    process : ForwardProcess
    strata : int
        Different scales, at most 1024.
    rng : Generator, int or None

    Raises
    ------
    ModelError, GramError, SfbenchError
        For laws, data or options that do not fit.
    """
    if "condition" in options:
        raise SfbenchError(_CONDITION)
    points, generator = as_points("x", x), as_generator(rng)
    scales = noise_scales(df, len(points), strata=strata, rng=generator)
    rows = points / np.sqrt(scales)[:, None]
    given: dict[str, Any] = {"check_models": False} | options  # laws are exact, and their scale is not wiring
    fit: FusionResult = fuse_conditional(
        scaled_scores(laws, process), rows, process=process, condition=scales, rng=generator, **given
    )
    return fit


def sample(
    fused: FusedScore,
    n: int = 10_000,
    sampler: Any = "fused",
    *,
    df: float,
    strata: int = _STRATA,
    rng: SeedLike = None,
    **options: Any,
) -> SampleResult:
    """Draw points x (n, d) through Student noise with the samplers and options of :func:`sfbench.sample`.

    Parameters
    ----------
    fused : FusedScore
        Of :class:`ScaledScore` or other models with ``score(y, t, condition=)``; see :func:`scaled_scores`.
    n : int
    sampler : str or Sampler
        ``"corrected"`` draws the KL barycenter, whatever df.
    df : float
        Degrees of freedom of the noise.
    strata : int
        Different scales, at most 1024; each is a run of ``n / strata`` particles.
    rng : Generator, int or None

    Raises
    ------
    ModelError, GridError, SfbenchError
        For models and options that do not fit.
    """
    as_kind("fused", fused, FusedScore, ModelError)
    if "condition" in options:
        raise SfbenchError(_CONDITION)
    generator = as_generator(rng)
    scales = noise_scales(df, n, strata=strata, rng=generator)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=f".*{_FOUNDERS}", category=TrustWarning)  # of one scale each
        result = sample_conditional(fused, n, sampler, condition=scales, rng=generator, **options)
    result.x[...] *= np.sqrt(scales)[:, None]
    about = result.diagnostics
    founders = None if about.founders is None else about.founders * len(np.unique(scales))
    messages = [text for text in about.messages if _FOUNDERS not in text]
    if founders is not None and founders < FEWEST_FOUNDERS:
        messages.append(f"{_FOUNDERS} about {founders:.0f} initial particles of {n}: take more particles")
        warnings.warn(messages[-1], TrustWarning, stacklevel=2)
    return replace(result, diagnostics=replace(about, founders=founders, messages=tuple(messages)))


def scaled_scores(laws: Iterable[DiffusableLaw | ScoreModel], process: ForwardProcess) -> tuple[ScoreModel, ...]:
    """Laws as :class:`ScaledScore`; conditional models as they are."""
    given = as_items("laws", laws, "laws or models", ModelError)
    return tuple(ScaledScore(law, process) if hasattr(law, "diffuse") else law for law in given)  # type: ignore[misc,arg-type]
