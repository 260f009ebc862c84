"""Names of cells and specs: results survive files that move, and the committed stores stay what they are."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.common.networks import NetworkRef
from benchmarks.digits import cells as digits_cells
from benchmarks.digits import models as digits_models
from benchmarks.mixture_1d import cells as mixture_1d_cells
from sfbench.experiments import CellFunction, Journal, RunSettings, StudyError, make_study, run_study, store_path
from sfbench.experiments.canonical import class_name, decode_spec, encode_spec
from sfbench.experiments.running.resume import resume, study_status
from sfbench.experiments.store.compare import digest

QUIET = RunSettings(progress=False)
RESULTS = Path(__file__).parents[2] / "benchmarks/results"
STORES = {
    "digits_mnist": "0ebb47ebd3539ea769f7be5b246601891c027025ef58bc5c5186f10972c154c4",
    "mixture_1d": "bc12109562f21b3d544b5484449b636c915e6b17aada5374f746d0475109bcd8",
}
FUNCTIONS: dict[str, tuple[CellFunction, type[Any]]] = {
    "benchmarks.digits_models:train_network": (digits_models.train_network, digits_models.TrainingSpec),
    "benchmarks.digits_cells:window_cell": (digits_cells.window_cell, digits_cells.WindowSpec),
    "benchmarks.digits_cells:fixed_cell": (digits_cells.fixed_cell, digits_cells.FixedSpec),
    "benchmarks.digits_cells:methods_cell": (digits_cells.methods_cell, digits_cells.MethodsSpec),
    "benchmarks.mixture_1d_cells:train_auxiliary": (mixture_1d_cells.train_auxiliary, mixture_1d_cells.TrainingSpec),
    "benchmarks.mixture_1d_cells:window_cell": (mixture_1d_cells.window_cell, mixture_1d_cells.WindowSpec),
    "benchmarks.mixture_1d_cells:methods_cell": (mixture_1d_cells.methods_cell, mixture_1d_cells.MethodsSpec),
    "benchmarks.mixture_1d_cells:published_cell": (mixture_1d_cells.published_cell, mixture_1d_cells.PublishedSpec),
}
CLASSES: dict[str, type[Any]] = {
    "benchmarks.digits_models:Training": digits_models.Training,
    "benchmarks.digits_models:Evaluation": digits_models.Evaluation,
    "benchmarks.mixture_1d_cells:Work": mixture_1d_cells.Work,
    "benchmarks.networks:NetworkRef": NetworkRef,
}
MODULE = """
from dataclasses import dataclass
from sfbench.experiments import make_study, study_cells

@dataclass(frozen=True)
class Part:
    size: int
    cell_name = "tests/part"

@dataclass(frozen=True)
class Spec:
    seed: int
    part: Part

@study_cells(version=1, name="tests/sum")
def run(spec):
    return {"seed": spec.seed, "sum": spec.seed + spec.part.size}

def study(n):
    return make_study("sums", run, [Spec(seed, Part(3)) for seed in range(n)])
"""


@pytest.mark.parametrize("name", STORES)
def test_committed_stores_stay_complete_with_the_same_digest(name: str) -> None:
    with Journal(store_path(RESULTS / name)) as journal:
        assert all(status["done"] == status["total"] for status in study_status(journal))
        assert digest(journal) == STORES[name]


@pytest.mark.parametrize("name", STORES)
def test_the_code_of_today_asks_for_the_keys_of_the_committed_stores(name: str) -> None:
    """Wherever the functions and classes lie: what is encoded now has the key that is kept."""
    with Journal(store_path(RESULTS / name)) as journal:
        studies = journal.studies()
        assert studies
        for study in studies:
            function, kind = FUNCTIONS[study.function]
            assert function.name == study.function
            places = {known: f"{cls.__module__}:{cls.__qualname__}" for known, cls in CLASSES.items()}
            for text, key in journal.grid(study.name).items():
                spec = decode_spec(text, kind, places)
                assert encode_spec(spec) == text
                assert function.key(encode_spec(spec)) == key


def import_from(folder: Path, name: str) -> Any:
    """The example module under another name."""
    (folder / f"{name}.py").write_text(MODULE)
    sys.modules.pop(name, None)
    return __import__(name)


def test_results_survive_a_move_and_resume_finds_the_new_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    before, store = import_from(tmp_path, "cells_before_move"), tmp_path / "store"
    run_study(before.study(4), store, QUIET)
    with Journal(store_path(store)) as journal:
        kept = digest(journal)
        assert journal.about() == {
            ("cells", "tests/sum"): "cells_before_move:run",
            ("spec", "tests/part"): "cells_before_move:Part",
        }
    shutil.move(tmp_path / "cells_before_move.py", tmp_path / "gone.txt")
    forget(before)
    after = import_from(tmp_path, "cells_after_move")
    records, outcome = run_study(after.study(4), store, QUIET)
    assert outcome.cached == 4
    assert [record["sum"] for record in records] == [3, 4, 5, 6]
    _, outcome = run_study(after.study(6), store, RunSettings(progress=False, time_limit=1e-9))
    assert outcome.missing == 2
    forget(after)
    [outcome] = resume(store_path(store), QUIET)
    assert (outcome.cached, outcome.done) == (4, 6)
    with Journal(store_path(store)) as journal:
        assert journal.about()[("cells", "tests/sum")] == "cells_after_move:run"
        grid = journal.grid("sums")
        assert kept != digest(journal)
    assert list(grid.values()) == list(import_from(tmp_path, "cells_again").study(6).keys)


def forget(module: Any) -> None:
    """As in a new process."""
    from sfbench.experiments import canonical

    sys.modules.pop(module.__name__, None)
    canonical._KINDS.pop("tests/part", None)


def test_without_a_name_the_place_is_the_name() -> None:
    from .example_cells import Spec, run_cell

    assert run_cell.name == run_cell.place == "tests.experiments.example_cells:run_cell"
    assert class_name(Spec) == "tests.experiments.example_cells:Spec"
    named = CellFunction(run_cell.function, name="tests/named")
    assert named.name == "tests/named"
    assert named.key(encode_spec(Spec(1, 1))) != run_cell.key(encode_spec(Spec(1, 1)))


@dataclass(frozen=True)
class First:
    n: int = 0
    cell_name = "tests/twice"


@dataclass(frozen=True)
class Second:
    n: int = 0
    cell_name = "tests/twice"


@dataclass(frozen=True)
class Heir(First):
    """Inherits no name: two classes of one name would share results."""


def test_two_classes_of_one_name_are_refused() -> None:
    assert class_name(First) == "tests/twice"
    with pytest.raises(StudyError, match="share the cell_name 'tests/twice'"):
        class_name(Second)
    assert class_name(Heir) == "tests.experiments.test_names:Heir"


def test_resume_says_when_a_place_holds_another_function(tmp_path: Path) -> None:
    from .example_cells import Spec, run_cell

    renamed = CellFunction(run_cell.function, name="tests/old")
    run_study(make_study("s", renamed, [Spec(1, 1)]), tmp_path, QUIET)
    with pytest.raises(StudyError, match=r"named .* by now"):
        resume(store_path(tmp_path), QUIET)


def test_a_study_needs_no_names_to_move_its_class_of_specs(tmp_path: Path) -> None:
    """The class of the specs themselves is not part of a key, only its place is kept."""
    from .example_cells import Spec, run_cell

    study = make_study("s", run_cell, [Spec(1, 1)])
    assert study.spec_class not in "".join(study.texts)
    assert study.class_places == {}
