"""Forward noising processes, by class and by name.

===========================  =======================================================================
name                         process
===========================  =======================================================================
``ornstein_uhlenbeck``       ``dX = -X dt + sqrt(2) dW``
``variance_preserving``      linear beta on [0, 1]: DDPM's schedule in continuous time
``sub_variance_preserving``  the same signal, less noise
``variance_exploding``       geometric sigma on [0, 1]
``karras``                   ``sigma = t`` (EDM)
``flow_matching``            ``alpha = 1 - t, sigma = t``
``cosine``                   the cosine schedule of Nichol and Dhariwal
``ddpm``                     DDPM's table of 1000 linear betas (:func:`from_betas`)
``stable_diffusion``         the table that Stable Diffusion was trained with
===========================  =======================================================================

One's own: a subclass of :class:`ForwardProcess` (:func:`check_process` says what is wrong with it), registered by
``register_process(name, make)`` or through the entry-point group ``sfbench.processes``.
"""

from collections.abc import Callable

from .._internal.lazy import Registry
from .base import ForwardProcess
from .check import check_process
from .continuous import (
    FlowMatching,
    Karras,
    OrnsteinUhlenbeck,
    SubVariancePreserving,
    VarianceExploding,
    VariancePreserving,
)
from .discrete import Cosine, Tabulated, beta_schedule, from_betas
from .record import build_process, describe_process

__all__ = [
    "Cosine",
    "FlowMatching",
    "ForwardProcess",
    "Karras",
    "OrnsteinUhlenbeck",
    "SubVariancePreserving",
    "Tabulated",
    "VarianceExploding",
    "VariancePreserving",
    "beta_schedule",
    "build_process",
    "check_process",
    "describe_process",
    "from_betas",
    "known_processes",
    "make_process",
    "register_process",
]

_PROCESSES: Registry[Callable[..., ForwardProcess]] = Registry(
    "process",
    "sfbench.processes",
    {
        "ornstein_uhlenbeck": "sfbench.processes:OrnsteinUhlenbeck",
        "variance_preserving": "sfbench.processes:VariancePreserving",
        "sub_variance_preserving": "sfbench.processes:SubVariancePreserving",
        "variance_exploding": "sfbench.processes:VarianceExploding",
        "karras": "sfbench.processes:Karras",
        "flow_matching": "sfbench.processes:FlowMatching",
        "cosine": "sfbench.processes:Cosine",
        "ddpm": "sfbench.processes:ddpm",
        "stable_diffusion": "sfbench.processes:stable_diffusion",
    },
)
known_processes = _PROCESSES.names
register_process = _PROCESSES.register


def ddpm() -> Tabulated:
    """The discrete schedule of DDPM: 1000 betas from 1e-4 to 0.02."""
    return from_betas(beta_schedule("linear"))


def stable_diffusion() -> Tabulated:
    """The discrete schedule of Stable Diffusion: 1000 betas, linear in their root from 0.00085 to 0.012."""
    return from_betas(beta_schedule("scaled_linear", 1000, 0.00085, 0.012))


def make_process(name: str, **options: float) -> ForwardProcess:
    """The process of that name; a foreign one is checked.

    Raises
    ------
    SfbenchError
        For an unknown name, or a process that contradicts itself.
    """
    made: ForwardProcess = _PROCESSES.make(name, **options)
    return made if name in _PROCESSES.builtin else check_process(made)
