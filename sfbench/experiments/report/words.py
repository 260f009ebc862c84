"""Numbers and names as a person would write them."""

from collections.abc import Mapping
from typing import Any

_WORDS = {
    "n": "sample size n",
    "d": "dimension d",
    "k": "number of models k",
    "tv": "total variation",
    "kl": "KL divergence (nats)",
    "gap": "duality gap",
}


def is_number(value: Any) -> bool:
    """Whether float64 can hold it."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1.7e308


def number(value: Any, digits: int = 3) -> str:
    """A few significant digits; whole numbers in full; a dash for what is not there; anything else as it is."""
    if not is_number(value):
        return "-" if value is None or value == "" else str(value)
    whole = isinstance(value, int) and abs(value) < 10**9
    if whole or (float(value).is_integer() and abs(value) < 1e6):
        return f"{int(value):,}"
    if 1e-3 <= abs(value) < 1e5:
        return f"{float(f'{value:.{digits}g}'):,}".removesuffix(".0")
    mantissa, _, exponent = f"{float(value):.{digits - 1}e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}" if exponent else mantissa


def in_words(column: str, labels: Mapping[str, str]) -> str:
    """A column as an axis calls it."""
    stem, seconds = (column[:-2], " (s)") if column.endswith("_s") else (column, "")
    return labels.get(column) or _WORDS.get(column) or stem.replace("_", " ") + seconds


def factor_text(factors: Mapping[str, Any], names: list[str]) -> str:
    """Values of some factors: words as they are, numbers with their names."""
    named = ((name, factors.get(name)) for name in names)
    shown = [f"{name} = {number(v)}" if isinstance(v, int | float) else str(v) for name, v in named if v is not None]
    return ", ".join(shown)
