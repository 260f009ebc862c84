"""Methods that train on the target's data in place of fusing: from scratch, and fine-tuning of the nearest auxiliary.

What they train is a Gaussian mixture (:mod:`sfbench.baselines.mixture_fits`), whose points are then drawn by its own
reverse SDE, so that budget and sampling errors are those of the other methods. Training asks no auxiliary for its
score. Networks are trained by :mod:`sfbench.baselines.networks`; there is no budget in score evaluations for that.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal, final

import numpy as np

from synthetic import as_gaussian_mixture

from ..baselines.mixture_fits import fit_mixture, tune_mixture
from .base import Method, MethodOutcome, NotApplicableError, Task
from .draws import sampled


@final
@dataclass(frozen=True)
class Retrained(Method):
    """A mixture trained on the data, from scratch or from the nearest auxiliary."""

    start: Literal["nothing", "nearest"]

    @property
    def about(self) -> str:
        """One line."""
        of = {"nothing": "A mixture fitted to the data alone.", "nearest": "The nearest auxiliary, fine-tuned."}
        return of[self.start]

    def run(self, task: Task) -> MethodOutcome:
        """Train, draw."""
        if self.start == "nothing":
            law: Any = fit_mixture(task.x, rng=task.rng)
        else:
            laws = task.densities()
            law = tuned(max(laws, key=lambda law: float(np.mean(law.log_prob(task.x)))), task.x, task.rng)
        drawn = sampled(task, (task.metered(law),), np.ones(1), "fused")
        words = "a mixture fitted to the data" if self.start == "nothing" else "the nearest auxiliary, fine-tuned"
        return replace(drawn, law=words, weights=None)


def tuned(law: Any, x: np.ndarray, rng: np.random.Generator) -> Any:
    """The law fine-tuned on data x (n, d); of products and embedded mixtures the inner mixture is meant."""
    if hasattr(law, "factor"):
        return replace(law, factor=tuned(law.factor, x.reshape(len(x) * law.copies, -1), rng))
    if getattr(law, "embedding", None) is not None:
        return replace(law, core=tuned(law.core, (x - law.shift) @ law.frame, rng))
    mixture = as_gaussian_mixture(law)
    if mixture is None:
        raise NotApplicableError(f"a {type(law).__name__} has no parameters here that could be fine-tuned")
    return tune_mixture(mixture, x, rng=rng)
