"""Keys, specs, records, randomness: what a result depends on."""

import dataclasses
import pickle
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfbench.experiments import CellFunction, StudyError, cell_rng, make_study, study_cells
from sfbench.experiments.canonical import decode_record, decode_spec, encode_record, encode_spec
from sfbench.experiments.cells import load_cell_function

from .example_cells import Spec, plain_function, run_cell

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@dataclass(frozen=True)
class Anything:
    value: Any = None


@pytest.mark.slow
@given(PLAIN)
def test_records_come_back_bit_for_bit(record: Any) -> None:
    text, read = encode_record(record)
    assert repr(decode_record(text)) == repr(read) == repr(record)


def test_numpy_in_records_becomes_plain_and_keeps_its_bits() -> None:
    x = np.random.default_rng(0).standard_normal((3, 2))
    given = {"x": x, "n": np.int64(3), "ok": np.bool_(True), "v": np.float64(0.1), 1: [(np.float32(0.1),), {2: "a"}]}
    text, read = encode_record(given)
    record = decode_record(text)
    assert repr(read) == repr(record)
    assert np.array_equal(np.array(record["x"]), x)
    assert record["n"] == 3
    assert record["ok"] is True
    assert record["v"] == 0.1


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"tv": float("nan")}, r"record\['tv'\] is nan"),
        ([{"a": [1.0, float("inf")]}], r"record\[0\]\['a'\]\[1\] is inf"),
        ({"x": np.array([1.0, np.nan])}, r"record\['x'\]\[1\] is nan"),
        ({"x": object()}, "object, which is not JSON"),
        ({1: 2.0, (2, 3): 0.0}, "names must be text"),
    ],
)
def test_records_that_cannot_be_kept_say_where(record: Any, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        encode_record(record)


@pytest.mark.parametrize("value", [None, True, 3, -0.1, 1e-300, "ä\n", (), (1, (2.5, None), "x")])
def test_specs_come_back(value: Any) -> None:
    assert decode_spec(encode_spec(Anything(value)), Anything) == Anything(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1], {"a": 1}, np.float64(1.0), np.zeros(2), (1, [2])])
def test_specs_of_other_values_are_refused(value: Any) -> None:
    with pytest.raises(StudyError, match="value"):
        encode_spec(Anything(value))


def test_a_spec_must_be_a_frozen_dataclass() -> None:
    @dataclass
    class Loose:
        n: int = 1

    for bad in (Loose(), {"n": 1}, 3):
        with pytest.raises(StudyError, match="frozen dataclass"):
            encode_spec(bad)


def test_the_key_depends_on_spec_version_schema_and_dtype_and_nothing_else() -> None:
    text = encode_spec(Spec(1, 2))
    base = run_cell.key(text)
    assert base == CellFunction(run_cell.function, version="1", volatile=("x",), factors=("y",)).key(text)
    others = [{"version": "2"}, {"schema": 2}, {"dtype": "float32"}]
    keys = {CellFunction(run_cell.function, **other).key(text) for other in others}  # type: ignore[arg-type]
    for field in dataclasses.fields(Spec):
        keys.add(run_cell.key(encode_spec(replace(Spec(1, 2), **{field.name: 7 if field.type is int else "z"}))))
    keys.add(CellFunction(plain_function).key(text))
    assert len(keys | {base}) == len(others) + 4 + 2


def test_randomness_depends_on_the_spec_and_the_purpose() -> None:
    draws = {
        float(cell_rng(spec, purpose).standard_normal())
        for spec in (Spec(1, 1), Spec(1, 2), Spec(2, 1))
        for purpose in ("", "noise")
    }
    assert len(draws) == 6
    assert cell_rng(Spec(1, 1)).standard_normal() == cell_rng(Spec(1, 1)).standard_normal()


def test_cell_functions_travel_by_name() -> None:
    assert pickle.loads(pickle.dumps(run_cell)) is run_cell
    assert load_cell_function(run_cell.name) is run_cell
    plain = pickle.loads(pickle.dumps(CellFunction(plain_function, version="3")))
    assert (plain.name, plain.version) == (CellFunction(plain_function).name, "3")


@pytest.mark.parametrize("name", ["os:system", "tests.experiments.example_cells:plain_function"])
def test_a_store_can_only_name_what_was_declared_a_cell_function(name: str) -> None:
    with pytest.raises(StudyError, match="not declared a cell function"):
        load_cell_function(name)


def test_a_cell_function_that_cannot_be_imported_says_where_to_run() -> None:
    with pytest.raises(StudyError, match="run from the folder"):
        load_cell_function("no_such_module:run")


def test_local_functions_and_scripts_are_refused() -> None:
    with pytest.raises(StudyError, match="inside another function"):
        study_cells(version=1)(lambda spec: spec)

    def script(spec: Spec) -> int:
        return 1

    script.__module__, script.__qualname__ = "__main__", "script"
    with pytest.raises(StudyError, match="in a script"):
        CellFunction(script)


def test_studies_drop_repetitions_and_refuse_nonsense() -> None:
    assert len(make_study("x", run_cell, [Spec(1, 1), Spec(1, 1), Spec(1, 2)]).keys) == 2
    with pytest.raises(StudyError, match="no cells"):
        make_study("x", run_cell, [])
    with pytest.raises(StudyError, match="mixes specs"):
        make_study("x", run_cell, [Spec(1, 1), Anything(1)])  # type: ignore[list-item]
    with pytest.raises(StudyError, match="needs a name"):
        make_study("", run_cell, [Spec(1, 1)])
