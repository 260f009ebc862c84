"""Schedules and noised laws remembered by time: a run asks for the same few hundred of them again and again."""

from dataclasses import dataclass, field
from typing import Any, final

from numpy.typing import ArrayLike

from synthetic import DiffusableLaw

from .._typing import Float64Array
from ..processes import ForwardProcess
from ..scores import AnalyticScore, FusedScore

_LARGEST_DIM = 64  # laws of larger dimension cost more to keep than to make


@final
@dataclass(frozen=True, eq=False)
class RememberedProcess(ForwardProcess):
    """A forward process that computes what it is asked at a float only once; equal to what it remembers."""

    inner: ForwardProcess
    known: dict[tuple[str, float], Any] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        return self.inner == getattr(other, "inner", other)

    def __hash__(self) -> int:
        return hash(self.inner)

    def __repr__(self) -> str:
        return repr(self.inner)

    def _ask(self, name: str, t: Any) -> Any:
        if not isinstance(t, float):
            return getattr(self.inner, name)(t)
        key = (name, t)
        if key not in self.known:
            self.known[key] = getattr(self.inner, name)(t)
        return self.known[key]

    @property
    def horizon(self) -> float:
        """That of the process."""
        return self.inner.horizon

    def alpha(self, t: ArrayLike) -> Float64Array:
        """Signal scale."""
        return self._ask("alpha", t)  # type: ignore[no-any-return]

    def sigma(self, t: ArrayLike) -> Float64Array:
        """Noise standard deviation."""
        return self._ask("sigma", t)  # type: ignore[no-any-return]

    def f(self, t: ArrayLike) -> Float64Array:
        """Drift coefficient."""
        return self._ask("f", t)  # type: ignore[no-any-return]

    def g(self, t: ArrayLike) -> Float64Array:
        """Diffusion coefficient."""
        return self._ask("g", t)  # type: ignore[no-any-return]

    def prior_std(self, t: float) -> float:
        """Standard deviation of the prior."""
        return self.inner.prior_std(t)

    def log_snr(self, t: ArrayLike) -> Float64Array:
        """Log signal-to-noise ratio."""
        return self._ask("log_snr", t)  # type: ignore[no-any-return]

    def time_at(self, log_snr: ArrayLike) -> Float64Array:
        """Its inverse."""
        return self.inner.time_at(log_snr)


@final
@dataclass(frozen=True, eq=False)
class _RememberedLaw:
    law: DiffusableLaw
    known: dict[tuple[float, float], DiffusableLaw] = field(default_factory=dict)

    @property
    def dim(self) -> int:
        return self.law.dim

    def diffuse(self, alpha: float, sigma: float) -> DiffusableLaw:
        key = (alpha, sigma)
        if key not in self.known:
            self.known[key] = self.law.diffuse(alpha, sigma)
        return self.known[key]


def remembered(fused: FusedScore) -> FusedScore:
    """The same fused score, with what depends on time alone kept from one evaluation to the next."""
    process = RememberedProcess(fused.process)
    small = fused.dim <= _LARGEST_DIM
    models = [
        AnalyticScore(_RememberedLaw(m.law), process) if small and isinstance(m, AnalyticScore) else m  # type: ignore[arg-type]
        for m in fused.models
    ]
    return FusedScore(models, fused.schedule, process=process)
