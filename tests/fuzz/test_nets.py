"""Checkpoints that lie, and networks and points of every kind at the border.

The oracle: an error of the package (not a raw exception of a library), or a network whose scores are finite
numbers of the shape and kind of its points. Loading takes no memory to speak of, whatever a file promises. The number
of cases is that of the environment variable SFBENCH_FUZZ_CASES, shared out among the tests of this file.
"""

import hashlib
import json
import os
import resource
import shutil
import struct
import time
import warnings
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sfbench
from sfbench import SfbenchError
from sfbench.nets import GuidedScore, NetworkDivergence, NetworkScore, build_network, load_checkpoint, save_checkpoint

CASES = int(os.environ.get("SFBENCH_FUZZ_CASES", "400"))
HANG, MEMORY = 10.0, 300e6
OU = sfbench.OrnsteinUhlenbeck()
fuzz = settings(
    max_examples=max(CASES // 4, 1), deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)

# ---------------------------------------------------------------------- checkpoints
numbers = st.sampled_from([0, 1, -1, 2, 3, 7, 8, 9, 255, 20_000, 1 << 20, 1 << 31, 1 << 63, 10**400, 0.5, -1.5, 1e300])
words = st.sampled_from(["", "v", "mlp", "unet", "edm", "t", "OrnsteinUhlenbeck", "\ud800"])
keys = st.sampled_from(["name", "dim", "edm", "a"])
json_values = st.recursive(
    st.none() | st.booleans() | numbers | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A checkpoint as it should be, and a folder for what is made of it."""
    folder = tmp_path_factory.mktemp("fuzz")
    network = build_network("mlp", {"dim": 2, "width": 8, "depth": 1, "classes": 2}, process=OU, seed=5)
    save_checkpoint(folder / "good", NetworkScore(network, 2, OU, "x0", t_range=(0.1, 2.0)), summary={"loss": 1.0})
    return folder


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all values in a JSON document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, part in inner for place in places(part, (*path, key)))]


def change(document: Any, data: st.DataObject) -> Any:
    """A document with a few values replaced, added or removed anywhere."""
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(places(document)))
        if not path:
            continue
        parent = document
        for key in path[:-1]:
            parent = parent[key]
        what = data.draw(st.integers(0, 5))
        if what == 0:
            del parent[path[-1]]
        elif what == 1 and isinstance(parent, dict):
            key = data.draw(st.sampled_from(["time", "shape", "t_range", "condition_name", "classes", "w"]))
            parent[key] = data.draw(json_values)
        else:
            parent[path[-1]] = data.draw(json_values)
    return document


def write(folder, config: bytes, weights: bytes) -> None:
    """Files whose manifest agrees with them, as an attacker would make it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    sums = {}
    for name, content in (("config.json", config), ("weights.safetensors", weights)):
        (folder / name).write_bytes(content)
        sums[name] = hashlib.sha256(content).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(sums))


def refused_or_sound(folder) -> None:
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        model = load_checkpoint(folder)
        found = model.score(np.zeros((3, model.dim)), 0.5)
        assert found.shape == (3, model.dim)
        assert np.isfinite(found).all()
    except SfbenchError:
        pass
    assert time.monotonic() - start < HANG
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MEMORY


@pytest.mark.slow
@fuzz
@given(data=st.data())
def test_configs(saved, data):
    config = change(json.loads((saved / "good" / "config.json").read_text()), data)
    write(saved / "bad", json.dumps(config).encode(), (saved / "good" / "weights.safetensors").read_bytes())
    refused_or_sound(saved / "bad")


@pytest.mark.slow
@fuzz
@given(data=st.data())
def test_headers_and_bytes(saved, data):
    blob = (saved / "good" / "weights.safetensors").read_bytes()
    config = (saved / "good" / "config.json").read_bytes()
    (length,) = struct.unpack("<Q", blob[:8])
    header, body = json.loads(blob[8 : 8 + length]), blob[8 + length :]
    if data.draw(st.booleans()):
        text = json.dumps(change(header, data)).encode()
        promised = data.draw(st.sampled_from([len(text), len(text), 0, len(text) - 1, 1 << 24, 1 << 62]))
        blob = struct.pack("<Q", promised) + text + body[: data.draw(st.integers(0, len(body)))]
    else:
        for document in (bytearray(blob), bytearray(config)):
            for _ in range(data.draw(st.integers(0, 3))):
                document[data.draw(st.integers(0, len(document) - 1))] = data.draw(st.integers(0, 255))
            blob, config = (bytes(document), config) if document[:1] != b"{" else (blob, bytes(document))
    write(saved / "bad", config, blob)
    refused_or_sound(saved / "bad")


# ---------------------------------------------------------------------- the border of a network
class Network(torch.nn.Module):
    """Predicts ``-x / 2``, as ``wrap`` has it."""

    def __init__(self, wrap):
        super().__init__()
        self.factor, self.wrap = torch.nn.Parameter(torch.tensor(-0.5)), wrap

    def forward(self, x, t, labels=None):
        return self.wrap(self.factor * x)


GOOD = [lambda out: out, lambda out: (out, 1), lambda out: SimpleNamespace(sample=out), lambda out: out.double()]
BAD = [
    lambda out: out[1:],
    lambda out: out[..., :1],
    lambda out: out.T,
    lambda out: out.sum(),
    lambda out: out * torch.nan,
    lambda out: out.long(),
    lambda out: out + 1j,
    lambda out: out.to("meta"),
    lambda out: out.detach().numpy(),
    lambda out: None,
    lambda out: [],
    lambda out: {},
    lambda out: "out",
    lambda out: SimpleNamespace(sample=len),
    lambda out: out.to_sparse(),
    lambda out: 1 // 0,
    lambda out: out.view(7, 13),
    lambda out: [][0],
]
SCALARS: list[Any] = [
    *(None, True, "0.5", 0, 1, -1, 3, 10**12, 10**400, 0.0, 1e-9, 0.5, 2.5, 1e12, 1e-300, 1e300, -1.0, np.nan, np.inf),
    *(1j, Decimal("0.3"), np.float32(0.1), np.float16(0.1), np.bool_(True), np.datetime64("2020"), np.array(0.25)),
    *(np.array([0.25]), np.ma.masked, torch.tensor(0.5), torch.tensor(0.5, requires_grad=True), object(), len, [], {}),
    *(torch.tensor(0.5, dtype=torch.bfloat16), torch.tensor(0.5j), torch.tensor(0.5, device="meta"), [0.1, 0.2, 0.3]),
    *(np.array([0.1, 0.2, 0.3]), np.array([0.1, -0.2, 0.3]), torch.tensor([0.1, 0.2, 0.3]), [[0.1], [0.2], [0.3]]),
]


@st.composite
def points(draw: st.DrawFn) -> Any:
    """Three points of dimension 4 in any container and precision, sometimes of another shape."""
    shape = draw(st.sampled_from([(3, 4)] * 6 + [(0, 4), (1, 4), (4,), (3, 2, 2), (3, 5), (), (4, 3)]))
    scale = 10.0 ** draw(st.integers(-300, 300) | st.just(0))
    x = np.random.default_rng(draw(st.integers(0, 99))).normal(size=shape) * scale
    if x.size and draw(st.integers(0, 9)) == 0:
        x.flat[0] = draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    with np.errstate(all="ignore"):
        return draw(
            st.sampled_from(
                [
                    lambda: x,
                    lambda: x.astype(np.float32),
                    lambda: x.astype(np.float16),
                    lambda: x.astype(complex),
                    lambda: x.astype(int),
                    lambda: x.astype(">f8"),
                    lambda: x.astype(object),
                    lambda: x.astype(str),
                    lambda: x.tolist(),
                    lambda: np.asfortranarray(x),
                    lambda: np.ma.masked_array(x, mask=x > 0),
                    lambda: torch.tensor(x),
                    lambda: torch.tensor(x).float(),
                    lambda: torch.tensor(x).bfloat16(),
                    lambda: torch.tensor(x, requires_grad=True),
                    lambda: torch.tensor(x).to("meta"),
                    lambda: torch.tensor(x).to_sparse(),
                    lambda: iter(x.tolist()) if x.ndim else None,
                    lambda: "x",
                    lambda: None,
                ]
            )
        )()


def bits(x: Any) -> Any:
    plain = isinstance(x, torch.Tensor) and x.device.type == "cpu" and x.layout == torch.strided and not x.is_complex()
    if plain:
        return x.detach().double().numpy().tobytes()
    return x.tobytes() if isinstance(x, np.ndarray) and x.dtype != object else None


@pytest.mark.slow
@fuzz
@given(
    x=points(),
    t=st.sampled_from(SCALARS) | st.just(0.5),
    condition=st.sampled_from([*SCALARS, [0, 1, 2]]) | st.none(),
    wrap=st.sampled_from(GOOD * 4 + BAD),
    kind=st.sampled_from(["score", "epsilon", "v", "x0", "velocity", "edm"]),
    call=st.sampled_from(["score", "divergence", "exact divergence", "guided"]),
)
def test_points_times_conditions_and_outputs(x, t, condition, wrap, kind, call):
    model = NetworkScore(Network(wrap), 4, OU, kind, condition_name="labels")
    before, start = bits(x), time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if call == "score":
                found = model.score(x, t, condition)
            elif call == "guided":
                found = GuidedScore(model, 2.0, 2).score(x, t, condition)
            else:
                estimator = NetworkDivergence(model, None if "exact" in call else 2, rng=0)
                found, divergence = estimator.score_and_divergence(x, t)
                assert len(divergence) == len(found)
        except SfbenchError:
            found = None
    assert bits(x) == before
    assert time.monotonic() - start < HANG
    if found is None:
        return
    assert isinstance(found, torch.Tensor) == isinstance(x, torch.Tensor)
    given_x = np.asarray(x, float)
    assert found.shape == given_x.shape == (len(given_x), 4)
    modest = np.abs(given_x).max(axis=1, initial=0) < 1e30
    assert np.isfinite(np.asarray(found)[modest]).all()
    assert wrap in GOOD or not len(given_x) or not modest.any()


@fuzz
@given(
    dim=st.sampled_from([*SCALARS, 4, (2, 2), (1, 4), [4], (4, 0), (2, "a")]),
    kind=st.sampled_from([*SCALARS, "v", "eps", "edm", "noise"]),
    options=st.dictionaries(
        st.sampled_from(["batch", "shape", "time", "t_range", "condition_name", "condition"]),
        st.sampled_from([*SCALARS, "t", "scaled", "timestep", (2, 2), (0.1, 2.0), "labels", lambda t: t, lambda t: 3]),
        max_size=3,
    ),
    process=st.sampled_from([OU] * 9 + SCALARS),
)
def test_arguments(dim, kind, options, process):
    try:
        model = NetworkScore(Network(lambda out: out), dim, process, kind, **options)
        found = model.score(np.ones((3, 4)), 0.5)
    except SfbenchError:
        return
    assert found.shape == (3, 4)
    assert np.isfinite(found).all()
    assert repr(model)
