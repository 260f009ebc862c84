"""Processes as JSON: by class or registered name, with the parameters that make an equal one."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from ..errors import GridError, SfbenchError
from .base import ForwardProcess


def describe_process(process: ForwardProcess, error: type[SfbenchError] = GridError) -> dict[str, Any]:
    """JSON form of a forward process: one of ours, or a registered one that is a dataclass.

    Raises
    ------
    GridError, or the given error
        If it is neither.
    """
    from . import _PROCESSES, VarianceExploding

    kind = type(process)
    values = {f.name: getattr(process, f.name) for f in fields(process) if f.init} if is_dataclass(process) else {}
    if isinstance(process, VarianceExploding):
        values = {"sigma": process.base}
    if _own(kind.__name__) is kind:
        return {"name": kind.__name__, "parameters": values}
    for name in sorted(_PROCESSES.names(), key=_PROCESSES.own.__contains__):  # other programs know entry points
        record = {"name": name, "parameters": values}
        try:
            if build_process(record) == process:
                return record
        except (SfbenchError, TypeError):  # another one
            continue
    raise error(
        f"{process!r} has no name that a file could hold; make its class a frozen dataclass and call "
        f"sfbench.processes.register_process(name, {kind.__name__})"
    )


def build_process(record: Mapping[str, Any]) -> ForwardProcess:
    """The forward process behind its JSON form."""
    from . import make_process

    own = _own(record["name"])
    if own is not None:
        built: ForwardProcess = own(**record["parameters"])
        return built
    return make_process(record["name"], **record["parameters"])


def _own(name: object) -> Any:
    """The class of this package of that name."""
    from . import continuous, discrete

    for module in (continuous, discrete):
        found = getattr(module, str(name), None)
        if isinstance(found, type) and issubclass(found, ForwardProcess) and found.__module__ == module.__name__:
            return found
    return None
