"""Data, models, families and parts of one's own on the command line, and fits that are kept and sampled."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sfbench
from sfbench import cli
from synthetic import GaussianMixture

Capture = pytest.CaptureFixture[str]

MODELS = """
from synthetic import GaussianMixture

right = GaussianMixture([1.0], [[1.0, 0.0]], 1.0)
number = 3.0


def left():
    return GaussianMixture([1.0], [[-1.0, 0.0]], 1.0)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with points and a module of models."""
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("own_models", None)
    np.save("x.npy", np.random.default_rng(0).normal([0.3, 0.0], 1.0, (300, 2)))
    Path("own_models.py").write_text(MODELS, encoding="utf-8")
    return tmp_path


def fuse_own(*options: str) -> list[str]:
    models = ["--model", "own_models.py:left", "--model", "own_models.py:right"]
    return ["fuse", "--data", "x.npy", *models, "--process", "ornstein_uhlenbeck", *options]


def run(capsys: Capture, *arguments: str) -> tuple[int, str, str]:
    code = cli.main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def as_json(capsys: Capture, *arguments: str) -> Any:
    code, out, err = run(capsys, *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def test_own_laws_and_points_give_what_fuse_gives(capsys: Capture) -> None:
    record = as_json(capsys, *fuse_own())
    laws = [GaussianMixture([1.0], [[m, 0.0]], 1.0) for m in (-1.0, 1.0)]
    rng = np.random.default_rng(0).spawn(2)[1]
    result = sfbench.fuse(laws, np.load("x.npy"), process=sfbench.OrnsteinUhlenbeck(), rng=rng)
    assert record["weights"] == result.weights.tolist()
    assert (record["n"], record["evaluations"]) == (300, 2 * 300 * 16 * 2)
    assert record["problem"] is record["true_weights"] is None
    assert record["certificate"] == {"kl": None, "tv": None, "unavailable": "the target is known by samples only"}
    assert as_json(capsys, *fuse_own("--n", "100"))["n"] == 100
    code, out, _ = run(capsys, *fuse_own())
    assert code == 0
    assert "own_models.py:left" in out


@pytest.mark.slow
def test_a_fit_is_kept_and_sampled(folder: Path, capsys: Capture) -> None:
    code, out, err = run(capsys, *fuse_own("--out", "fit"))
    assert (code, err) == (0, "sfbench: made the folder 'fit'\n")
    assert "sfbench sample fit" in out
    kept = json.loads((folder / "fit" / "fit.json").read_text())
    assert kept == as_json(capsys, *fuse_own())  # the same document
    code, _, err = run(capsys, "sample", "fit", "--n", "50")
    assert code == 2
    assert "allow it with --module own_models.py" in err  # no code of others runs unasked
    options = ("--module", "own_models.py", "--n", "50", "--steps", "8", "--seed", "3", "--out", "points.npz")
    drawn = as_json(capsys, "sample", "fit", *options)
    assert drawn["weights"] == kept["weights"]
    laws = [GaussianMixture([1.0], [[m, 0.0]], 1.0) for m in (-1.0, 1.0)]
    score = sfbench.FusedScore(laws, kept["weights"], process=sfbench.OrnsteinUhlenbeck())
    with np.load("points.npz") as points:
        assert np.array_equal(points["x"], sfbench.sample(score, 50, steps=8, rng=3).x)
    other = as_json(capsys, "sample", "fit", *options[:-2], "--weights", "1,0")
    assert other["weights"] == [1.0, 0.0]
    for given in (("--problem", "shifted_gaussians"), ("--process", "cosine"), ("--param", "k=2")):
        assert run(capsys, "sample", "fit", *given)[0] == 2


@pytest.mark.slow
def test_the_folder_is_that_of_save_and_of_save_without_the_command_line(folder: Path, capsys: Capture) -> None:
    laws = [GaussianMixture([1.0], [[m, 0.0]], 1.0) for m in (-1.0, 1.0)]
    run(capsys, *fuse_own("--out", "fit"))
    kept = sfbench.load_result("fit").attach(laws)
    rng = np.random.default_rng(0).spawn(2)[1]
    result = sfbench.fuse(laws, np.load("x.npy"), process=sfbench.OrnsteinUhlenbeck(), rng=rng)
    assert kept.to_dict() | {"data": None} == result.to_dict() | {"data": None}
    result.save("saved")
    code, _, err = run(capsys, "sample", "saved", "--n", "50")
    assert code == 2
    assert "does not say where its models are" in err
    models = ("--model", "own_models.py:left", "--model", "own_models.py:right")
    options = ("--n", "50", "--steps", "8", "--seed", "3", "--out", "points.npz")
    assert as_json(capsys, "sample", "saved", *models, *options)["weights"] == result.weights.tolist()
    with np.load("points.npz") as points:
        assert np.array_equal(points["x"], sfbench.sample(result, 50, steps=8, rng=3).x)
    code, _, err = run(capsys, "sample", "saved", *models[2:])
    assert code == 2
    assert "is a fit of 2 models (0, 1), got 1" in err
    code, _, err = run(capsys, "sample", "saved", *models[2:], *models[:2], *options)  # in another order
    assert code == 2
    assert "is not the one that was fitted" in err
    Path("own_models.py").write_text(MODELS.replace("-1.0", "-2.0"), encoding="utf-8")
    sys.modules.pop("own_models", None)
    code, _, err = run(capsys, "sample", "fit", "--module", "own_models.py", "--n", "50")
    assert code == 2
    assert "is not the one that was fitted" in err


@pytest.mark.slow
def test_weights_that_change_with_time(capsys: Capture) -> None:
    problem = ("--problem", "paper_mixture_1d", "--param", "scale=6", "--n", "200")
    record = as_json(capsys, "fuse", *problem, "--bins", "3", "--out", "fit")
    plain = as_json(capsys, "fuse", *problem)
    assert set(plain) == set(record)  # one shape
    assert (len(record["edges"]), np.shape(record["weights"]), plain["edges"]) == (4, (3, 2), None)
    assert np.shape(record["intervals_90"]) == (3, 2, 2)
    assert "no barycenter" in record["distances"]["total_variation"]["unavailable"]
    assert record["certificate"]["kl"] > 0
    drawn = as_json(capsys, "sample", "fit", "--n", "50", "--steps", "8")
    assert drawn["weights"] == record["weights"]
    Path("fit.json").write_text(json.dumps(record))
    assert as_json(capsys, "sample", "fit.json", "--n", "50", "--steps", "8") == drawn
    smooth = as_json(capsys, "fuse", *problem, "--bins", "2", "--smoothing", "0.1")
    assert smooth["intervals_90"] is None
    code, out, _ = run(capsys, "fuse", *problem, "--bins", "2", "--smoothing", "0.1")
    assert code == 0
    assert "tied by smoothing" in out
    assert run(capsys, "fuse", "--smoothing", "0.1")[0] == 2


def test_names_of_models(capsys: Capture) -> None:
    options = [f"west={part}" if part.endswith(":left") else part for part in fuse_own("--out", "fit")]
    assert [m["name"] for m in as_json(capsys, *options)["models"]] == ["west", None]
    options = [f"east={part}" if part.endswith(":right") else part for part in options]
    code, out, _ = run(capsys, *options)
    assert code == 0
    assert "west" in out
    assert sfbench.load_result("fit").names == ("west", "east")


@pytest.mark.slow
def test_compare_says_what_python_says(folder: Path, capsys: Capture) -> None:
    run(capsys, *fuse_own("--out", "fit"))
    np.save("new.npy", np.random.default_rng(1).normal([0.3, 0.0], 1.0, (100, 2)))
    base = ("compare", "fit", "--module", "own_models.py", "--data")
    record = as_json(capsys, *base, "new.npy", "--figure", "losses.png")
    laws = [GaussianMixture([1.0], [[m, 0.0]], 1.0) for m in (-1.0, 1.0)]
    result = sfbench.load_result("fit").attach(laws)
    wanted = result.losses(np.load("new.npy"), rng=np.random.default_rng(0).spawn(4)[3]).to_dict()
    assert [row["loss"] for row in record["models"]] == [row["loss"] for row in wanted.values()]
    assert [row["model"] for row in record["models"]][-1] == "equal weights"
    assert Path("losses.png").read_bytes().startswith(b"\x89PNG")
    assert record["notes"] == []
    assert "flatters" in as_json(capsys, *base, "x.npy")["notes"][0]
    own = ("compare", "a=own_models.py:left", "own_models.py:right", "--data", "new.npy")
    code, _, err = run(capsys, *own)
    assert code == 2
    assert "give --process" in err
    code, out, _ = run(capsys, *own, "--process", "karras", "--n", "20", "--n-samples", "20")
    assert code == 0
    assert "n = 20" in out
    assert "energy distance" in out


@pytest.mark.slow
def test_fits_of_one_problem_are_compared_on_new_points(capsys: Capture) -> None:
    for name, n in (("few", "30"), ("many", "3000")):
        run(capsys, "fuse", "--problem", "paper_mixture_1d", "--param", "scale=6", "--n", n, "--out", name)
    record = as_json(capsys, "compare", "few", "many", "--n", "300")
    assert (record["n"], record["data"]) == (300, None)
    assert [row["model"] for row in record["models"]] == ["few", "many"]
    run(capsys, "fuse", "--n", "30", "--out", "other")
    code, _, err = run(capsys, "compare", "few", "other")
    assert code == 2
    assert "--data is needed" in err


@pytest.mark.slow
def test_a_fit_of_a_named_problem_is_sampled_with_its_weights(capsys: Capture) -> None:
    fitted = as_json(capsys, "fuse", "--problem", "paper_mixture_1d", "--param", "scale=6", "--n", "100", "--out", "a")
    drawn = as_json(capsys, "sample", "a", "--n", "200", "--steps", "16", "--sampler", "corrected")
    assert drawn["weights"] == fitted["weights"]
    assert drawn["problem"] == fitted["problem"]
    assert drawn["log_z_truth"] is not None


@pytest.mark.slow
def test_checkpoints_are_models_and_a_changed_one_is_noticed(folder: Path, capsys: Capture) -> None:
    from sfbench.nets import NetworkScore, build_network, save_checkpoint

    process = sfbench.VariancePreserving()
    for i in range(2):
        network = build_network("mlp", {"dim": 2, "width": 8, "depth": 1}, process=process, seed=i)
        save_checkpoint(folder / f"net{i}", NetworkScore(network, 2, process, "epsilon"))
    models = ("--model", "net0", "--model", "net1/weights.safetensors")  # the process is theirs
    record = as_json(capsys, "fuse", "--data", "x.npy", *models, "--out", "fit")
    assert [Path(model["place"]).name for model in record["models"]] == ["net0", "weights.safetensors"]
    assert all(len(model["sha256"]) == 64 for model in record["models"])
    assert record["process"] is None
    assert as_json(capsys, "sample", "fit", "--n", "20", "--steps", "4")["n"] == 20
    both = as_json(capsys, "fuse", "--data", "x.npy", "--model", "fit", "--model", "net0")  # a fit is a model
    assert len(both["weights"]) == 2
    assert run(capsys, "fuse", "--data", "x.npy", "--model", "net0", "--process", "cosine")[0] == 2
    changed = build_network("mlp", {"dim": 2, "width": 8, "depth": 1}, process=process, seed=7)
    save_checkpoint(folder / "net0", NetworkScore(changed, 2, process, "epsilon"))
    code, _, err = run(capsys, "sample", "fit", "--n", "20")
    assert code == 2
    assert "another model than the one that was fitted" in err


def test_files_of_points(capsys: Capture) -> None:
    points = np.load("x.npy")
    np.savez("one.npz", anything=points)
    np.savez("two.npz", x=points, y=points[:, 0])
    np.savetxt("x.csv", points, delimiter=",")
    weights = as_json(capsys, *fuse_own())["weights"]
    for name in ("one.npz", "two.npz", "x.csv"):
        arguments = [name if part == "x.npy" else part for part in fuse_own()]
        assert as_json(capsys, *arguments)["weights"] == pytest.approx(weights, rel=1e-12)


BAD = [
    (["fuse", "--data", "x.npy"], "--data and --model go together"),
    (["fuse", "--model", "OWN:left"], "--data and --model go together"),
    (["fuse", "--data", "x.npy", "--model", "OWN:left", "--problem", "shifted_gaussians"], "leave them out"),
    (
        ["fuse", "--data", "x.npy", "--model", "OWN:left"],
        "the models do not say their process: give --process",
    ),
    (["fuse", "--data", "x.npy", "--model", "nothing"], "'nothing' is none of them"),
    (["fuse", "--data", "x.npy", "--model", "OWN:number"], "is not a score model"),
    (["fuse", "--data", "x.npy", "--model", "OWN:absent"], "'OWN' holds nothing called 'absent'"),
    (["fuse", "--data", "x.npy", "--model", "absent.py:left"], "there is no file 'absent.py'"),
    (
        ["fuse", "--data", "absent.npy", "--model", "OWN:left", "--process", "karras"],
        "'absent.npy' cannot be read",
    ),
    (
        ["fuse", "--data", "OWN", "--model", "OWN:left", "--process", "karras"],
        "takes an .npy, .npz or .csv file",
    ),
    (["fuse", "--data", "several.npz", "--model", "OWN:left", "--process", "karras"], "none called 'x'"),
    (["fuse", "--data", "text.npy", "--model", "OWN:left", "--process", "karras"], "not an array of numbers"),
    (["fuse", "--data", "objects.npy", "--model", "OWN:left", "--process", "karras"], "cannot be read"),
    (["fuse", "--metric", "nearness"], "unknown metric 'nearness'"),
    (["fuse", "--module", "absent"], "cannot import 'absent'"),
    (["sample", "absent"], "cannot read 'absent'"),
    (["sample", "."], "'.' is not the folder of a fit"),
    (["sample", "--model", "OWN:left"], "--model gives the folder of a fit its models"),
    (["compare", "OWN:left", "OWN:left", "--data", "x.npy"], "two models are called 'OWN:left'"),
    (["compare", "OWN:left", "--data", "x.npy", "--figure", "f.jpg"], "--figure takes the name of"),
    (["compare", "OWN:left"], "give --process"),
    (["compare", "OWN:left", "--process", "karras"], "--data is needed"),
    (["compare", "nothing", "--data", "x.npy"], "'nothing' is none of them"),
    (["fuse", "--bins", "0", "--n", "9"], "bins"),
    (["fuse", "--bins", "2", "--solver", "daqp", "--n", "9"], "solver of their own"),
    (["sample", "x.npy"], "is not a fit"),
    (["sample", "not_a_fit.json"], "is not a fit"),
    (["check", "--process", "brownian"], "unknown process"),
    (["check", "--t-min", "2", "--t-max", "1", "--problem", "shifted_gaussians"], "t_min"),
]


def files(folder: Path) -> list[Path]:
    """What lies there; Python's own cache of a loaded module apart."""
    return sorted(path for path in folder.iterdir() if path.name != "__pycache__")


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[" ".join(case[0])[:60] for case in BAD])
def test_bad_input_is_one_line_and_leaves_nothing(
    arguments: list[str], message: str, folder: Path, capsys: Capture
) -> None:
    np.savez("several.npz", a=np.ones(3), b=np.ones(3))
    np.save("objects.npy", np.array([{}], dtype=object))
    Path("text.npy").write_text("hello")
    Path("not_a_fit.json").write_text('{"weights": [1.0]}')
    before = files(folder)
    code, out, err = run(capsys, *[part.replace("OWN", "own_models.py") for part in arguments])
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message.replace("OWN", "own_models.py") in err
    assert files(folder) == before


@pytest.mark.slow
def test_check_takes_process_and_window(capsys: Capture) -> None:
    base = ("check", "--problem", "shifted_gaussians", "--param", "k=2", "--n", "100")
    plain = as_json(capsys, *base)
    other = as_json(capsys, *base, "--process", "variance_preserving", "--t-min", "0.01", "--t-max", "0.9")
    assert (plain[0]["process"], plain[0]["window"]) == ("ornstein_uhlenbeck", [1e-3, 5.0])
    assert other[0]["window"] == [0.01, 0.9]
    assert plain[0]["bounds"][0]["bound"] != other[0]["bounds"][0]["bound"]
    assert not other[0]["violated"]


def test_check_says_what_it_will_cost(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sfbench.cli.check.on_terminal", lambda: True)
    _, _, err = run(capsys, "check", "--problem", "shifted_gaussians", "--param", "k=2", "--n", "100", "--json")
    assert f"about {2 * 16 * 2 * 20_100:,} score evaluations" in err  # models x nodes x signs x rows


def test_the_command_that_draws_from_a_fit_is_whole(capsys: Capture) -> None:
    Path("own_part.py").write_text("", encoding="utf-8")  # what it registers may be needed again
    _, out, _ = run(capsys, *fuse_own("--out", "fit", "--module", "own_part.py"))
    command = out.rpartition("draw from it with: sfbench ")[2].split()
    assert command == ["sample", "fit", "--module", "own_models.py", "--module", "own_part.py"]
    assert run(capsys, *command, "--n", "5")[0] == 0
