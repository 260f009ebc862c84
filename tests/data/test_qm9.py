"""QM9: classes by composition, linear molecules left out, and tables that are none refused."""

import numpy as np
import pytest

from sfbench.data import DataError
from sfbench.data.qm9 import _COLUMNS, properties

HEADER = "SMILES,Stoichiometry,XYZ_Ang," + ",".join(_COLUMNS) + "\n"


def row(stoichiometry, first):
    numbers = [first, *range(1, len(_COLUMNS))]
    return f'"C","[{stoichiometry}]","[[0.,1.],[2.,3.]]",' + ",".join(map(str, numbers)) + "\n"


def test_rows_by_hand():
    rows = [("4,1,0,0,0", 157.7), ("2,2,0,0,0", 0.0), ("6,2,0,1,0", 3.0), ("6,2,2,1,0", 3.5), ("1,2,1,1,0", 800.0)]
    rows += [("3,1,1,1,1", 5.0), ("2,8,0,0,0", 619867.7)]
    values, classes = properties((HEADER + "".join(row(*r) for r in rows)).encode(), "t")
    np.testing.assert_array_equal(values[:, 0], [157.7, 3.0, 3.5, 800.0, 5.0])
    np.testing.assert_array_equal(values[:, 1:], np.tile(np.arange(1, 15), (5, 1)))
    np.testing.assert_array_equal(classes, [0, 1, 2, 3, 4])


def test_other_tables_are_refused():
    for table in ("", "a,b\n1,2\n", HEADER, HEADER + row("4,1", 1.0), HEADER + row("4,1,0,0,0", "x"), HEADER + "C\n"):
        with pytest.raises(DataError, match=r"t (is not a table of QM9|holds no molecules)"):
            properties(table.encode(), "t")


@pytest.mark.data
def test_the_real_table(real_items):
    items = real_items("qm9")
    assert items.x.shape == (130_820, 15)
    np.testing.assert_array_equal(np.bincount(items.y), [4886, 66418, 32291, 25302, 1923])
    gap = items.x[:, 7] - (items.x[:, 6] - items.x[:, 5])
    assert np.abs(gap).max() < 2e-4
