r"""How the target's unknown score enters: estimators of ``E<S_i, s*>`` from ``x_t = alpha x_0 + sigma z``.

By denoising score matching and by integration by parts,

    E<S_i, s*>  =  -E<S_i, z> / sigma  =  -E div S_i,

so every share lambda of the first and 1 - lambda of the second is unbiased: an estimator is the share it takes at a
time node and the signs of z over which it averages.

=============  ==========================  =======  ==========================
estimator      noise share lambda          signs    variance as t -> 0
=============  ==========================  =======  ==========================
``dsm``        1                           z        grows like ``1/sigma^2``
``antithetic`` 1                           z, -z    bounded
``stein``      0: needs divergences        z        bounded
=============  ==========================  =======  ==========================

One's own is a subclass of :class:`AbstractEstimator`; ``fuse(..., estimator=MyEstimator())`` takes it, and a name for
it comes from :func:`register_estimator` or the entry-point group ``sfbench.estimators``.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, final

from .._internal.lazy import Registry
from ..errors import GramError, SfbenchError


class AbstractEstimator(ABC):
    """Interface of estimators.

    Attributes
    ----------
    signs : tuple of float
        Factors of the noise vector at which scores are evaluated and averaged: 1, and -1 for antithetic pairs.
    """

    signs: ClassVar[tuple[float, ...]] = (1.0,)

    @abstractmethod
    def noise_share(self, alpha: float, sigma: float) -> float:
        """The share lambda of the noise term at a time node; where it is not 1, models must know their divergence."""


@final
@dataclass(frozen=True)
class DenoisingScoreMatching(AbstractEstimator):
    """The noise term alone."""

    def noise_share(self, alpha: float, sigma: float) -> float:
        """All of it."""
        return 1.0


@final
@dataclass(frozen=True)
class Antithetic(AbstractEstimator):
    """The noise term over z and -z, whose variance stays bounded as sigma goes to 0."""

    signs: ClassVar[tuple[float, ...]] = (1.0, -1.0)

    def noise_share(self, alpha: float, sigma: float) -> float:
        """All of it."""
        return 1.0


@final
@dataclass(frozen=True)
class Stein(AbstractEstimator):
    """The divergence term alone."""

    def noise_share(self, alpha: float, sigma: float) -> float:
        """Nothing of it."""
        return 0.0


_ESTIMATORS: Registry[type[AbstractEstimator]] = Registry(
    "estimator",
    "sfbench.estimators",
    {
        "antithetic": "sfbench.statistics.estimators:Antithetic",
        "dsm": "sfbench.statistics.estimators:DenoisingScoreMatching",
        "stein": "sfbench.statistics.estimators:Stein",
    },
)

Estimator = str | AbstractEstimator
known_estimators = _ESTIMATORS.names
register_estimator = _ESTIMATORS.register
ESTIMATORS = tuple(_ESTIMATORS.builtin)


def as_estimator(estimator: Estimator) -> AbstractEstimator:
    """The estimator itself, or a new one of a known name."""
    if isinstance(estimator, AbstractEstimator):
        return estimator
    if not isinstance(estimator, str):
        raise GramError(f"estimator must be a name or an AbstractEstimator object, got {estimator!r}")
    try:
        made = _ESTIMATORS.make(estimator)
    except SfbenchError as reason:
        raise GramError(str(reason)) from None
    if not isinstance(made, AbstractEstimator):
        raise GramError(f"estimator {estimator!r} makes a {type(made).__name__}, which is not an AbstractEstimator")
    return made
