"""Methods by name: a way to choose weights and a way to draw points at them, or a class of one's own.

Adding one is a file with a :class:`~sfbench.methods.base.Method` and a line here, an entry point of the group
``sfbench.methods``, or :func:`register_method`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

from .._internal.lazy import Registry
from ..errors import ModelError
from . import draws, weights
from .base import Draw, Method, MethodOutcome, Task, WeightRule
from .retrained import Retrained


@final
@dataclass(frozen=True)
class Fusion(Method):
    """A rule for the weights, then a way to draw at them."""

    weights: WeightRule
    draw: Draw

    @property
    def about(self) -> str:
        """Both, in words."""
        return f"{_first(self.weights)} {_first(self.draw)}"

    def run(self, task: Task) -> MethodOutcome:
        """Choose weights, draw."""
        return self.draw(task, self.weights(task))


def _first(function: Callable[..., Any]) -> str:
    return (function.__doc__ or function.__name__).strip().split("\n")[0]


published = Fusion(weights.published, draws.fused)
fused = Fusion(weights.one_pass, draws.fused)
switched = Fusion(weights.one_pass, draws.switched)
corrected = Fusion(weights.little_noise, draws.corrected)
likelihood = Fusion(weights.likelihood, draws.corrected)
uniform = Fusion(weights.uniform, draws.fused)
uniform_corrected = Fusion(weights.uniform, draws.corrected)
minimax = Fusion(weights.minimax, draws.corrected)
nearest = Fusion(weights.nearest, draws.fused)
mixture = Fusion(weights.uniform, draws.mixture)
mixture_em = Fusion(weights.em, draws.mixture)
average = Fusion(weights.one_pass, draws.average)
superposed_or = Fusion(weights.one_pass, draws.or_)
superposed_and = Fusion(weights.uniform, draws.and_)
feynman_kac = Fusion(weights.little_noise, draws.feynman_kac)
controlled = Fusion(weights.little_noise, draws.controlled)
predictor_corrector = Fusion(weights.little_noise, draws.predicted)
annealed_mcmc = Fusion(weights.little_noise, draws.annealed)
fine_tuned = Retrained("nearest")
from_scratch = Retrained("nothing")

_METHODS: Registry[Any] = Registry(
    "method",
    "sfbench.methods",
    {name: f"{__name__}:{name}" for name, found in list(globals().items()) if isinstance(found, Method)},
)
known_methods = _METHODS.names
register_method = _METHODS.register


def as_method(method: str | Method) -> Method:
    """The method of that name, or the method itself; SfbenchError for an unknown name, ModelError for anything else."""
    found = _METHODS[method] if isinstance(method, str) else method
    made = found() if isinstance(found, type) else found
    if not isinstance(made, Method):
        raise ModelError(f"method {method!r} is a {type(made).__name__}, not a sfbench.methods.Method or its name")
    return made
