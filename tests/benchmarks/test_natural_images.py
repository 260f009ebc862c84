"""The study of natural images: regions that share no pixel, claims with teeth, and a tiny run of every method."""

from typing import Any

import numpy as np
import pytest

from benchmarks.natural_images import cells, data
from benchmarks.natural_images.cells import NaturalSpec, run_cell
from benchmarks.natural_images.claims import METHODS, evaluate_claims


class _Numbered:
    """Photos in which the three colours of a pixel say where it lies."""

    def __init__(self) -> None:
        down, right = np.mgrid[:427, :640]
        self.images = [np.stack([down, right, np.full_like(down, i)], axis=2) for i in range(2)]


@pytest.mark.slow
def test_no_pixel_is_in_two_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "load_sample_images", _Numbered)
    for px in (8, 64):
        found = data.patches_of.__wrapped__(1, px)
        seen: list[set[Any]] = []
        for part in (found.own, found.shown, found.held_out):
            pixels = np.rint((part.reshape(len(part), 3, -1) + 1.0) * 127.5)
            assert np.ptp(pixels[:, 0], axis=1).max() == px - 1
            assert np.all(pixels[:, 2] == 1.0)
            seen.append(set(np.unique(pixels[:, 0] * 640 + pixels[:, 1]).tolist()))
        assert sum(map(len, seen)) == len(set().union(*seen))
        assert len(seen[2]) == len(found.held_out) * px**2  # judging patches do not overlap


def test_targets_are_of_the_photos_that_they_name() -> None:
    x = data.target("mixture", 16, 32, 0)
    assert x.shape == (32, 768)
    assert np.abs(x).max() <= 1.0
    for i in range(2):
        shown = {row.tobytes() for row in data.patches_of(i, 16).shown}
        assert {row.tobytes() for row in x[16 * i : 16 * (i + 1)]} <= shown
        assert {row.tobytes() for row in data.target(data.PHOTOS[i], 16, 8, 1)} <= shown
    assert not np.array_equal(x, data.target("mixture", 16, 32, 1))
    assert len(data.judges("mixture", 64, 64)) == 2 * len(data.judges("china", 64, 64)) > 0


def _rows(right: float) -> list[dict[str, Any]]:
    """Rows whose fits give the photo's own network this weight, and gain accordingly."""
    rows = []
    for target in ("mixture", *data.PHOTOS):
        share = right if target == "china" else 1.0 - right
        for method in ("fused", "exchanged", *METHODS):
            gain = {"fused": right - 0.5, "exchanged": 0.5 - right}.get(method, 0.0)
            row = {"px": 8, "seed": 0, "d": 192, "parameters": 9, "train_s": 1.0, "microseconds": 1.0}
            row |= {"target": target, "n": 16, "draw": 0, "method": method}
            row |= {"loss": 1.0, "above_fused": 0.0, "error": 0.1, "below_uniform": gain, "gain_error": 0.1}
            fitted = {"w_china": share, "w_flower": 1.0 - share, "gap": 0.0, "fit_s": 1.0, "tune_s": 1.0}
            rows.append(row | (fitted if method == "fused" else {}))
    return rows


def test_claims_fall_where_weights_go_to_the_wrong_photo() -> None:
    required = [claim for claim in evaluate_claims(_rows(0.9)) if claim.required]
    assert len(required) == 5
    assert all(claim.stands for claim in required)
    for wrong in (0.1, 0.5):
        assert sum(not claim.stands for claim in evaluate_claims(_rows(wrong))) == 4


@pytest.mark.slow
def test_a_tiny_run_has_every_method_and_a_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "_JUDGES", 8)
    rows = run_cell(NaturalSpec(8, (8,), 8, (16,), 16, 1, 0))
    assert {row["method"] for row in rows} == {"fused", "exchanged", *METHODS}
    assert all(np.isfinite(row["loss"]) and 0.0 < row["loss"] < 2.0 for row in rows)
    mixture = {row["method"]: row for row in rows if row["target"] == "mixture"}
    assert mixture["mixture"]["loss"] <= mixture["nearest"]["loss"] + 0.01
    fitted = mixture["fused"]
    assert fitted["w_china"] + fitted["w_flower"] == pytest.approx(1.0)
    claims = evaluate_claims(rows)
    assert claims[0].name.startswith("largest certified gap")
    assert claims[0].holds
