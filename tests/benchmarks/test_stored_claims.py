"""Claims kept beside tables are those that the tables give now."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.common.claims import Claim, read_claims
from benchmarks.common.study import read_rows
from benchmarks.digits import report as digits
from benchmarks.leaderboard.claims import evaluate_claims as leaderboard_claims
from benchmarks.leaderboard.joining import read_table
from benchmarks.mixture_1d import report as mixture

RESULTS = Path(__file__).parents[2] / "benchmarks/results"


def same(kept: Sequence[Claim], now: Sequence[Claim]) -> None:
    assert [claim.name for claim in kept] == [claim.name for claim in now]
    assert [claim.verdict for claim in kept] == [claim.verdict for claim in now]
    for old, new in zip(kept, now, strict=True):
        assert old.value == (new.value if isinstance(new.value, str) else pytest.approx(new.value, rel=1e-9))
    assert all(claim.stands for claim in kept)


def test_claims_of_the_mixture_on_the_line() -> None:
    folder = RESULTS / "mixture_1d"
    window = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["window"]
    rows, published = read_rows(folder, "methods"), read_rows(folder, "published_way")
    same(read_claims(folder), mixture.evaluate_claims(rows, published, window))
    spoiled = [row | ({"low": row["high"]} if row["method"] == "fused" else {}) for row in rows]
    assert not mixture.evaluate_claims(spoiled, published, window)[0].holds


def test_claims_of_digits() -> None:
    folder = RESULTS / "digits_mnist"
    rows, fixed = read_rows(folder, "methods"), read_rows(folder, "fixed")
    same(read_claims(folder), digits.evaluate_claims(rows, fixed))
    spoiled = [row | ({"share": 0.9, "fid": 50.0} if row["method"] == "fused" else {}) for row in rows]
    assert [claim.holds for claim in digits.evaluate_claims(spoiled, fixed)[:4]] == [False, True, False, False]


@pytest.mark.parametrize("name", ["leaderboard", "leaderboard/rows_32"])
def test_claims_of_the_leaderboard(name: str) -> None:
    folder = RESULTS / name
    rows = read_table(folder)
    same(read_claims(folder), leaderboard_claims(rows))
    spoiled = [row | {"evaluations": 2.0 * row["budget"]} if row["status"] == "ok" else row for row in rows[1:]]
    assert [claim.holds for claim in leaderboard_claims(spoiled)[:2]] == [False, False]
