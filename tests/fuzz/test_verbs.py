"""Statistics, fusion, laws, metrics, bounds, processes and score models at the border.

Every public function is a row of ``VERBS``: good values of each argument. One or two of them become odd. The oracle: an
error of this project that says something, or an answer whose numbers are not NaN; nothing takes long, and no array that
was given is written into. The number of cases is that of the environment variable SFBENCH_FUZZ_CASES.
"""

import copy
import os
import time
import warnings
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sfbench
from solvers import SolversError
from synthetic import SyntheticError

from .test_sampling import ODDITIES, said, seeds
from .verbs import EXACT, GRAM, GRID, MISMATCH, OU, PLANE, VERBS, WEIGHTS

CASES = int(os.environ.get("SFBENCH_FUZZ_CASES", "80"))
HANG = 20.0
REFUSED = (sfbench.SfbenchError, SyntheticError, SolversError)

ARRAYS = [
    lambda a: np.ma.masked_less(a, 0.0),
    lambda a: a + 1j,
    lambda a: a.astype(str),
    lambda a: a.astype("datetime64[s]"),
    lambda a: a.astype(object),
    lambda a: a.astype(np.float16),
    lambda a: np.where(np.arange(a.size).reshape(a.shape) == a.size - 1, np.nan, a),
    lambda a: np.full_like(a, np.inf),
    lambda a: a[:0],
    lambda a: a[..., None],
    lambda a: a.ravel()[:1],
    lambda a: a * 1e300,
    lambda a: a * 1e-300,
    lambda a: np.zeros_like(a),
    lambda a: torch.tensor(a, requires_grad=True),
    lambda a: torch.tensor(a, dtype=torch.bfloat16),
    lambda a: torch.tensor(a, device="meta"),
    lambda a: np.broadcast_to(a.ravel()[0], (2**20, 2**20)),
    lambda a: np.repeat(a, 2, axis=0),
    lambda a: a[::-1],
]
ODD: list[Any] = [
    *ODDITIES,
    *PLANE,
    OU,
    GRID,
    GRAM,
    EXACT,
    MISMATCH,
    "auto",
    iter([1.0]),
    np.zeros((0, 2)),
    [[1.0], [2.0, 3.0]],
]
LARGEST = 10**6  # a count that is accepted may cost what it says


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    """A verb, its arguments, and which of them are odd."""
    name = draw(st.sampled_from(sorted(VERBS)))
    table = VERBS[name][1]
    given_ = {key: values[draw(st.integers(0, len(values) - 1))] for key, values in table.items()}
    odd = draw(st.lists(st.sampled_from(sorted(table)), min_size=1, max_size=2, unique=True))
    for key in odd:
        value = given_[key]
        if isinstance(value, np.ndarray) and draw(st.booleans()):
            given_[key] = draw(st.sampled_from(ARRAYS))(np.asarray(value, dtype=float))
        else:
            given_[key] = ODD[draw(st.integers(0, len(ODD) - 1))]
    return name, given_, tuple(odd)


def numbers(found: Any, depth: int = 0) -> list[np.ndarray]:
    """The float arrays of an answer, looking into the project's own dataclasses."""
    if isinstance(found, np.ndarray | float):
        array = np.asarray(found)
        return [array] if array.dtype.kind == "f" else []
    if is_dataclass(found) and depth < 2 and not isinstance(found, type):
        return [a for f in fields(found) for a in numbers(getattr(found, f.name), depth + 1)]
    return [a for item in found for a in numbers(item, depth + 1)] if isinstance(found, tuple | list) else []


@pytest.mark.slow
@settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(call=calls(), seed=seeds)
def test_any_argument_may_be_odd(call: tuple[str, dict[str, Any], tuple[str, ...]], seed: int) -> None:
    name, arguments, odd = call
    held = {
        key: copy.deepcopy(value) for key, value in arguments.items() if type(value) is np.ndarray and value.size < 999
    }
    start = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            found = VERBS[name][0](**arguments)
        except REFUSED as error:
            said(error)
            return
        except Exception:
            if not any(callable(arguments.get(key)) for key in odd if key in ("metric", "weighting")):
                raise  # what a function of the caller's raises is the caller's
            return
        finally:
            assert time.monotonic() - start < HANG, (name, odd)
            for key, value in held.items():
                np.testing.assert_array_equal(value, arguments[key])
    for array in numbers(found):
        assert not np.isnan(array).any(), (name, odd, found)


@pytest.mark.parametrize("name", sorted(VERBS))
def test_the_good_values_are_good(name: str) -> None:
    function, table = VERBS[name]
    if name == "fused":
        table = table | {"models": table["models"][:1], "weights": WEIGHTS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        function(**{key: values[0] for key, values in table.items()})
        function(**{key: values[-1] for key, values in table.items()})
