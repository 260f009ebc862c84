"""Claims of the studies as data: a number, what is required of it, and a control that must fail the requirement.

Every study ends in a list of :class:`Claim`. They are printed as one kind of table, written as ``claims.json`` beside
the results (what reports and documentation read), and decide the exit code: a claim that fails, or a control that
passes, fails the command.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

from sfbench.files import write_json

FILE = "claims.json"


@final
@dataclass(frozen=True)
class Claim:
    """What a study measured, and whether it is as claimed.

    Attributes
    ----------
    name : str
        The claim in words.
    value : float or str
        What was measured; text where one number does not say it.
    required : str
        The requirement in words; empty for what is reported without one.
    holds : bool
        Whether the requirement is met.
    interval : (float, float) or None
        Interval of the value, over seeds.
    control : str
        The negative control in words, with its value.
    control_fails : bool or None
        Whether the control fails the requirement, as it must; None without a control.
    note : str
        Sample sizes, names, what else a reader should know.
    """

    name: str
    value: float | str
    required: str = ""
    holds: bool = True
    interval: tuple[float, float] | None = None
    control: str = ""
    control_fails: bool | None = None
    note: str = ""

    @property
    def stands(self) -> bool:
        """Whether the claim holds and its control, if there is one, fails."""
        return self.holds and self.control_fails is not False

    @property
    def verdict(self) -> str:
        """``reported``, ``holds``, ``FAILS``, or ``control passes``."""
        if not self.holds:
            return "FAILS"
        if self.control_fails is False:
            return "CONTROL PASSES"
        return "holds" if self.required else "reported"


def within(
    name: str,
    value: float,
    low: float | None = None,
    high: float | None = None,
    *,
    control: tuple[float | None, str] = (None, ""),
    interval: tuple[float, float] | None = None,
    note: str = "",
) -> Claim:
    """The claim that a number lies in ``[low, high]``; None leaves an end open.

    ``control`` is a number that must not lie in it, if there is one, and what it is.
    """

    def inside(number: float) -> bool:
        above, below = low is None or number >= low, high is None or number <= high
        return math.isfinite(number) and above and below

    ends = [f"at least {number(low)}" if low is not None else "", f"at most {number(high)}" if high is not None else ""]
    required = f"[{number(low)}, {number(high)}]" if all(ends) else "".join(ends)
    if low is not None and low == high:
        required = number(low)
    other, what = control
    shown = "" if other is None else f"{number(other)} ({what})"
    fails = None if other is None or not required else not inside(other)
    return Claim(name, value, required, inside(value), interval, shown, fails, note)


def number(value: float | str | None) -> str:
    """A number as a person would write it: four significant digits, no digits of rounding."""
    if value is None or isinstance(value, str):
        return value or "-"
    if isinstance(value, int) or (value == int(value) if math.isfinite(value) else False):
        return f"{int(value):,}" if abs(value) < 1e9 else f"{value:.3g}"
    return f"{value:.4g}"


def write_claims(folder: Path, claims: Sequence[Claim], **about: Any) -> None:
    """Write ``claims.json``: the claims, and what else identifies the run (seed, command)."""
    write_json(folder / FILE, {**about, "claims": [asdict(claim) | {"verdict": claim.verdict} for claim in claims]})


def read_claims(folder: Path) -> list[Claim]:
    """The claims of a folder, as they were written."""
    records = json.loads((folder / FILE).read_text(encoding="utf-8"))["claims"]
    for record in records:
        del record["verdict"]
        record["interval"] = tuple(record["interval"]) if record["interval"] else None
    return [Claim(**record) for record in records]


def print_claims(claims: Sequence[Claim], title: str = "Claims and controls") -> None:
    """One table on the terminal."""
    from rich.table import Table

    table = Table("claim", "value", "required", "negative control", "verdict", title=title)
    for claim in claims:
        note = f"\n[dim]{claim.note}[/]" if claim.note else ""
        ends = "" if claim.interval is None else f"\n[{number(claim.interval[0])}, {number(claim.interval[1])}]"
        colour = "green" if claim.stands else "red"
        value = number(claim.value) + ends
        table.add_row(claim.name + note, value, claim.required, claim.control, f"[{colour}]{claim.verdict}[/]")
    wide_console().print(table)


def wide_console() -> Any:
    """A console of the terminal's width; in a pipe or a file, of 140 columns."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=140)


def exit_code(claims: Sequence[Claim]) -> int:
    """0 if every claim stands, else 1."""
    return 0 if all(claim.stands for claim in claims) else 1
