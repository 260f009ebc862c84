"""Arrays that would not fit in memory are refused before any of it is taken."""

import math
import os
from pathlib import Path

from .errors import IntractableError

_NEVER_ASKED = 1 << 28  # bytes; smaller arrays are taken for granted
_UNKNOWN = 8 << 30  # what a machine is taken to have if it does not say
_CONTROL_GROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def available_bytes() -> int:
    """Memory that a new array could take: what the system has left, or the limit of this container if that is less."""
    limits = [int(text) for path in _CONTROL_GROUPS if (text := _read(path).strip()).isdigit()]
    left = [int(line.split()[1]) << 10 for line in _read("/proc/meminfo").splitlines() if line.startswith("MemAvail")]
    if not left and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        left = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    return min([*limits, *left], default=_UNKNOWN)


def refuse_huge(what: str, *shape: int, beside: int = 0, itemsize: int = 8) -> None:
    """Refuse an array of this shape if it does not fit in memory, with ``beside`` more numbers needed to make it.

    Raises
    ------
    IntractableError
        Says the size it would take and what the machine has.
    """
    size = itemsize * math.prod(shape)
    needed = size + 8 * beside
    if needed <= _NEVER_ASKED or needed <= (available := available_bytes()):
        return
    working = "" if needed == size else f" ({_gib(needed)} with what it takes to make it)"
    raise IntractableError(
        f"{what} of shape {shape} would take {_gib(size)}{working}, and this machine has {_gib(available)} left; "
        "ask for fewer, or work in blocks"
    )


def _gib(size: int) -> str:
    return f"{size / (1 << 30):,.1f} GiB" if size < 1 << 70 else f"2^{size.bit_length() - 31} GiB"


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except OSError:
        return ""
