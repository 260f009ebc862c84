r"""Classifier-free guidance: ``s(x, t) = s_null(x, t) + scale (s_c(x, t) - s_null(x, t))``.

``s_c`` is the score given the condition c, ``s_null`` that without one. At scale 1 this is ``s_c``. At any other it is
**not** the score of a diffusion: ``p_null^(1 - scale) p_c^scale`` noised is another law than the product of the noised
laws, so nothing that rests on a law with these scores (statistics of denoising, the corrected sampler, likelihoods)
means what it says. :attr:`GuidedScore.law` says so in words.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

from torch import Tensor

from .._internal.aliases import FloatArray
from .._internal.validation import as_number
from ..errors import ModelError
from ..processes import ForwardProcess
from .adapter import NetworkScore, Points


@final
@dataclass(frozen=True, eq=False)
class GuidedScore:
    """A conditional network under classifier-free guidance; at scales other than 1 not the score of a diffusion.

    Parameters
    ----------
    model : NetworkScore
        With a ``condition_name``; its own ``condition`` is used where :meth:`score` is given none.
    scale : float
        1 is the condition alone, 0 the null condition alone.
    null_condition : int or array
        The label or embedding that stands for no condition; networks of this package say it themselves.
    """

    model: NetworkScore
    scale: float
    null_condition: Any = None

    def __post_init__(self) -> None:
        if not isinstance(self.model, NetworkScore) or self.model.condition_name is None:
            raise ModelError(f"model must be a NetworkScore with a condition_name, got {self.model!r}")
        if self.null_condition is None:
            object.__setattr__(self, "null_condition", getattr(self.model.module, "null_condition", None))
        if self.null_condition is None:
            raise ModelError("null_condition must be the label or embedding that stands for no condition")
        object.__setattr__(self, "scale", as_number("scale", self.scale, ModelError))

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.model.dim

    @property
    def process(self) -> ForwardProcess:
        """Process of the network."""
        return self.model.process

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Sizes of one item, if it is not a vector."""
        return self.model.shape

    @property
    def t_range(self) -> tuple[float, float] | None:
        """Times for which the network was trained."""
        return self.model.t_range

    @property
    def law(self) -> str:
        """Which law these are scores of."""
        if self.scale == 1.0:
            return "the conditional law"
        return f"no law: classifier-free guidance at scale {self.scale:g} is not the score of a diffusion"

    def score(self, x: Points, t: float | FloatArray | Tensor, condition: Any = None) -> Points:
        """Guided score at points x (n, d), as :meth:`NetworkScore.score`; two evaluations, one at scales 0 and 1."""
        if condition is None and self.model.condition is None:
            raise ModelError("guidance needs a condition: score(x, t, condition), or NetworkScore(condition=...)")
        if self.scale == 1.0:
            return self.model.score(x, t, condition)
        without = self._null.score(x, t)
        if self.scale == 0.0:
            return without
        guided: Points = without + self.scale * (self.model.score(x, t, condition) - without)
        return guided

    @cached_property
    def _null(self) -> NetworkScore:
        return self.model.given(self.null_condition)
