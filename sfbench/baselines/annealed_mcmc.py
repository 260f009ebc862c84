r"""Annealed MCMC on the averaged score (in the manner of "reduce, reuse, recycle", Du et al. 2023).

After every step of the reverse SDE, Hamiltonian Monte Carlo at the new time: momenta are drawn afresh, and leapfrog

    v <- v + eps/2 s_w(x),     x <- x + eps v,     v <- v + eps/2 s_w(x),        eps = size * sigma_t,

moves the points by the averaged score ``s_w(., t)``, which is that of the pool of the ``p_{i,t}``. Where the log
density of that pool is known up to a constant, moves are accepted with probability ``min(1, exp(-change of energy))``;
where only scores are, all are, and the pool is kept up to the error of leapfrog. Many moves a time reach the KL
barycenter, few stay between it and the fused law.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, final

from .._internal.aliases import Array
from .._internal.arrays import all_finite, library
from .._internal.validation import as_count, as_positive
from ..errors import GridError
from ..sampling.integrators import BETWEEN_LAW, Exponential, Integrator, ReverseProcess, StepTimes, data_prediction

LogDensity = Callable[[Array, float], Array]


@final
@dataclass(frozen=True)
class AnnealedHamiltonian(Integrator):
    """An exponential step, then Hamiltonian moves at the new time.

    Parameters
    ----------
    moves : int
        Moves per time.
    leapfrog : int
        Leapfrog steps of a move, each one evaluation.
    size : float
        Step in units of ``sigma_t``.
    log_density : function ``(x (n, d), t) -> (n,)``, optional
        Log density of the pool of the noised models, up to a constant; costs no evaluation of a score here.
    """

    moves: int = 1
    leapfrog: int = 2
    size: float = 1.0
    log_density: LogDensity | None = None
    law: ClassVar[str] = BETWEEN_LAW

    def __post_init__(self) -> None:
        as_count("moves", self.moves, error=GridError)
        as_count("leapfrog", self.leapfrog, error=GridError)
        as_positive("size", self.size, GridError)

    @property
    def evaluations(self) -> int:
        """``1 + moves * leapfrog``: the next step begins with the score at which the last move ended."""
        return 1 + self.moves * self.leapfrog

    def advance(self, reverse: ReverseProcess, x: Array, times: StepTimes, memory: Array) -> tuple[Array, Array]:
        """One step; remembers the score at its end."""
        process, (_, t, t_next) = reverse.process, times
        score = reverse.score(x, t) if memory is None else memory
        step = Exponential(1).step(process, None, t, t_next)
        x = step.apply(x, data_prediction(score + 0.0, process, x, t), None, reverse.noise)
        if not all_finite(x):
            return x, None  # lost points are the caller's to report
        eps, score = self.size * float(process.sigma(t_next)), reverse.score(x, t_next)
        for _ in range(self.moves):
            v = reverse.noise(x)
            before = None if self.log_density is None else 0.5 * (v * v).sum(1) - self.log_density(x, t_next)
            y, slope = x, score
            for _ in range(self.leapfrog):
                v = v + 0.5 * eps * slope
                y = y + eps * v
                if not all_finite(y):
                    return y, None
                slope = reverse.score(y, t_next)
                v = v + 0.5 * eps * slope
            if self.log_density is not None:
                change = 0.5 * (v * v).sum(1) - self.log_density(y, t_next) - before
                a, b = (reverse.noise(x[:, :1])[:, 0] for _ in range(2))
                accepted = (change < 0.5 * (a * a + b * b))[:, None]  # standard exponential, as -log U is
                y, slope = library(x).where(accepted, y, x), library(x).where(accepted, slope, score)
            x, score = y, slope
        return x, score
