"""Schedules and noised laws remembered by time: a run asks for the same few hundred of them again and again."""

from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any, final

from numpy.typing import ArrayLike

from .._internal.aliases import Float64Array
from ..processes import ForwardProcess
from ..scores import AnalyticScore, FusedScore

_LARGEST_DIM = 64  # laws of larger dimension cost more to keep than to make


def _remembering(name: str) -> Any:
    """A method of a process that keeps its answer for every float."""

    def ask(self: "RememberedProcess", t: Any) -> Float64Array:
        if not isinstance(t, float):
            return getattr(self.inner, name)(t)  # type: ignore[no-any-return]
        key = (name, t)
        if key not in self.known:
            self.known[key] = getattr(self.inner, name)(t)
        return self.known[key]

    return ask


@final
@dataclass(frozen=True, eq=False, repr=False)
class RememberedProcess(ForwardProcess):
    """A forward process that computes what it is asked at a float only once; equal to what it remembers."""

    inner: ForwardProcess
    known: dict[tuple[str, float], Float64Array] = field(default_factory=dict)

    alpha, sigma, f, g, prior_std, log_snr = map(_remembering, ("alpha", "sigma", "f", "g", "prior_std", "log_snr"))

    def __eq__(self, other: object) -> bool:
        return self.inner == getattr(other, "inner", other)

    def __hash__(self) -> int:
        return hash(self.inner)

    def __repr__(self) -> str:
        return repr(self.inner)

    @property
    def horizon(self) -> float:
        """That of the process."""
        return self.inner.horizon

    def time_at(self, log_snr: ArrayLike) -> Float64Array:
        """That of the process."""
        return self.inner.time_at(log_snr)


def remembered(fused: FusedScore) -> FusedScore:
    """The same fused score, with what depends on time alone kept from one evaluation to the next."""
    process = RememberedProcess(fused.process)
    small = fused.dim <= _LARGEST_DIM
    models = [
        AnalyticScore(SimpleNamespace(dim=m.dim, diffuse=cache(m.law.diffuse)), process)
        if small and isinstance(m, AnalyticScore)
        else m
        for m in fused.models
    ]
    return FusedScore(models, fused.schedule, process=process)
