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

from .entry import Archive, Arrays, DataSet, Files
from .errors import DataError

_CLASSES = ("neither N nor O", "more O than N", "more N than O", "as many N as O", "with F")
_COLUMNS = (
    *("RotA_GHz", "RotB_GHz", "RotC_GHz", "Dipole_debye", "Polarizability_bohr3", "HOMO_au", "LUMO_au"),
    *("HOMO_LUMO_gap_au", "R2_bohr2", "ZPVE_au", "InternalEnergy_0K_au", "InternalEnergy_298K_au"),
    *("Enthalphy_298K_au", "GibbsFreeEnergy_298K_au", "Heatcapacity_Cv_cal_mol_K"),
)
_LARGEST_ROTATION = 1e4  # GHz; water, the lightest bent molecule, has 800


def properties(table: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Properties (n, 15) and composition classes (n,) of the molecules of one table that are not linear.

    Parameters
    ----------
    table : bytes
        Comma-separated, with a header.
    name : str
        For messages.
    """
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


def _decode(files: Files, split: str) -> Arrays:
    parts = [properties(files[name], name) for name in _MEMBERS]
    return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))


_MEMBERS = {f"qm9_part{k}.csv": f"qm9pack/data/qm9_part{k}.csv" for k in (1, 2, 3)}
ENTRIES = (
    DataSet(
        name="qm9",
        description="fifteen properties of 130,820 small molecules (QM9); labels are compositions",
        licence="MIT (qm9pack); data of Ramakrishnan et al. 2014",
        redistributable=True,
        kind="table",
        shape=(len(_COLUMNS),),
        splits={"all": "b4f54b6fb98670df61d89438d18202feafc747af682595be26c0c298b48e7112"},
        files={
            "qm9_part1.csv": "19f0a5d595462d52cd82eef3370f3e9eb55a1f52cb14985657200349568deff3",
            "qm9_part2.csv": "2bca113fdc0b28a13563c80ed9b240e934f3da6c64c64fe74ddb4f0f36036e61",
            "qm9_part3.csv": "9c5efb5733d2af149db8d95d36ff198b4ffed12d9f7b344220a1e5877d5c6a43",
        },
        decode=_decode,
        classes=_CLASSES,
        columns=_COLUMNS,
        archives=(
            Archive(
                "pip",
                "qm9pack",
                "1.0.3",
                "1d88c2988007c6778e717ee3224cf511bd60e10732ebe3b7ed500ea5af05c9f0",
                _MEMBERS,
            ),
        ),
        installed=("qm9pack", _MEMBERS),
        slow=True,
    ),
)
