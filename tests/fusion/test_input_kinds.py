"""Data of kinds that users have: accepted as the numbers that they are, or refused by name."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch

import sfbench
from sfbench import GramError
from synthetic import GaussianMixture

from ..common import Foreign

OU = sfbench.OrnsteinUhlenbeck()
LAWS = [GaussianMixture([1.0], [[m, 0.0]], 1.0) for m in (-1.0, 1.0)]
X = np.random.default_rng(0).standard_normal((40, 2))


class Frame:
    """What data frames have in common: columns, rows as a method, and an array of what they hold."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape, self.columns = values, values.shape, ["a", "dataset"]
        self.dataset = values[:, 1]

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.values if dtype is None else self.values.astype(dtype)

    def __len__(self) -> int:
        return len(self.values)

    def rows(self) -> list[Any]:
        return list(map(tuple, self.values))


class Table:
    """A data frame that is not an array, with columns named like the attributes of a loader."""

    dataset = batch_size = n = d = X[:, 0]

    def to_numpy(self) -> np.ndarray:
        return X

    def __iter__(self) -> Any:
        return iter(["dataset", "batch_size"])


ACCEPTED = {
    "table": Table(),
    "frame": Frame(X),
    "list": X.tolist(),
    "strided": np.repeat(X, 2, axis=0)[::2],
    "fortran": np.asfortranarray(X),
    "tensor": torch.from_numpy(X),
    "items": X.reshape(40, 1, 1, 2),
}
REFUSED = {
    "masked": (np.ma.masked_array(X, mask=X > 2), "is a masked array"),
    "gradients": (torch.tensor(X, requires_grad=True), r"records gradients; pass data.detach\(\)"),
    "bfloat16": (torch.tensor(X).bfloat16(), r"got torch.bfloat16; pass data.float\(\)"),
    "half": (torch.tensor(X).half(), "got torch.float16"),
    "sparse tensor": (torch.tensor(X).to_sparse(), "must be a dense tensor"),
    "sparse array": (scipy.sparse.csr_matrix(X), "must hold real numbers"),
    "objects": (Frame(X.astype(object)), "got dtype object"),
    "missing": (Frame(np.where(X > 2, None, X)), "got dtype object"),
    "words": (X.astype(str), "must hold real numbers"),
    "complex": (X + 0j, "take data.real"),
    "dates": (np.full((4, 2), "2020-01-01", "M8[D]"), "subtract a date"),
    "truth values": (X > 0, "convert truth values"),
    "generator": ((row for row in X), "must hold real numbers"),
}


@pytest.mark.parametrize("kind", ACCEPTED)
@pytest.mark.parametrize("foreign", [False, True])
def test_accepted_kinds_give_the_same_bits(kind: str, foreign: bool) -> None:
    models = [Foreign(law, OU) for law in LAWS] if foreign else LAWS
    expected, found = (sfbench.fuse(models, x, process=OU, rng=0) for x in (X, ACCEPTED[kind]))
    np.testing.assert_array_equal(found.weights, expected.weights)
    assert found.adequacy is not None
    assert expected.adequacy is not None
    np.testing.assert_allclose(found.adequacy.single, expected.adequacy.single, rtol=1e-12)
    np.testing.assert_array_equal(found.losses(ACCEPTED[kind]).by_row, expected.losses(X).by_row)
    assert [r.loss for r in sfbench.check_wiring(models, ACCEPTED[kind], process=OU)] == [
        r.loss for r in sfbench.check_wiring(models, X, process=OU)
    ]


@pytest.mark.parametrize("kind", REFUSED)
def test_other_kinds_are_refused_by_name(kind: str) -> None:
    x, message = REFUSED[kind]
    for call in (
        lambda: sfbench.fuse([Foreign(law, OU) for law in LAWS], x, process=OU, rng=0),
        lambda: sfbench.fuse(LAWS, x, process=OU, rng=0),
        lambda: sfbench.compare({"a": LAWS[0]}, x, process=OU),
        lambda: sfbench.check_wiring(LAWS, x, process=OU),
    ):
        with pytest.raises(GramError, match=message):
            call()


def test_weights_and_conditions_of_such_kinds() -> None:
    frame = Frame(np.ones((40, 2)))
    with pytest.raises(GramError, match="sample_weight must have shape"):
        sfbench.fuse(LAWS, X, process=OU, sample_weight=frame)
    with pytest.raises(GramError, match="sample_weight is a masked array"):
        sfbench.fuse(LAWS, X, process=OU, sample_weight=np.ma.masked_array(np.ones(40)))
    weighted = sfbench.fuse(LAWS, Frame(X), process=OU, sample_weight=torch.ones(40), rng=0)
    np.testing.assert_array_equal(weighted.weights, sfbench.fuse(LAWS, X, process=OU, rng=0).weights)
