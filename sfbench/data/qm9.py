r"""QM9: fifteen computed properties of 130,820 small organic molecules, by composition.

The items are the scalar columns of the table as published (units in the names). Two remarks:

* The first rotational constant of a linear molecule is infinite. The table writes 0 for nine of them and rounding noise
  (2e5 and 6e5 GHz) for two; these eleven rows are left out.
* The four energies differ by hundredths of a hartree while they range over 670: differences of them, not they
  themselves, make a well-conditioned covariance.

Labels say which of nitrogen and oxygen a molecule has more of, and whether it has fluorine (the rare class).
"""

import csv
import io

import numpy as np

from .catalogue import CATALOGUE
from .entry import Arrays, Files
from .errors import DataError

_COLUMNS = CATALOGUE["qm9"].columns
_LARGEST_ROTATION = 1e4  # GHz; water, the lightest bent molecule, has 800


def properties(table: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Properties (n, 15) and composition classes (n,) of the molecules of a table of this name that are not linear."""
    values, classes = [], []
    try:
        for row in csv.DictReader(io.TextIOWrapper(io.BytesIO(table), "utf-8", newline="")):
            numbers = [float(row[column]) for column in _COLUMNS]
            _, _, nitrogen, oxygen, fluorine = (int(v) for v in row["Stoichiometry"].strip("[]").split(","))
            if 0 < numbers[0] < _LARGEST_ROTATION:
                values.append(numbers)
                classes.append(_composition(nitrogen, oxygen, fluorine))
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{name} is not a table of QM9: {type(error).__name__} {error}") from None
    if not values:
        raise DataError(f"{name} holds no molecules")
    return np.array(values), np.array(classes)


def _composition(nitrogen: int, oxygen: int, fluorine: int) -> int:
    if fluorine:
        return 4
    if nitrogen == oxygen:
        return 3 if nitrogen else 0
    return 1 if oxygen > nitrogen else 2


def decode(files: Files, split: str) -> Arrays:
    """The three parts of the table."""
    parts = [properties(content, name) for name, content in files.items()]
    return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))
