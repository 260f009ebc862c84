"""Networks on devices that are not there or short of memory; their arguments."""

import numpy as np
import pytest
import torch

from sfbench import ModelError
from sfbench.nets import build_network

from .test_border import OU, Foreign, network


def test_devices():
    with pytest.raises(ModelError, match=r"device 'nonsense' is not there.*this machine has cpu"):
        network().to(device="nonsense")
    absent = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(ModelError, match=rf"device '{absent}' is not there"):
        network().to(device=absent)
    split = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4, device="meta"))
    with pytest.raises(ModelError, match=r"lie on several devices \(cpu, meta\).*module\.to\(device\)"):
        network(split)


class Hungry(Foreign):
    """Runs out of memory above some number of rows."""

    def __init__(self, limit, error):
        super().__init__()
        self.limit, self.error = limit, error

    def forward(self, x, t):
        if len(x) > self.limit:
            raise self.error
        return super().forward(x, t)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes."),
        MemoryError(),
    ],
)
def test_batches_shrink_until_they_fit(error):
    points = np.random.default_rng(0).standard_normal((50, 4))
    model = network(Hungry(5, error), batch=32)
    np.testing.assert_allclose(model.score(points, 0.3), -0.5 * points, rtol=1e-6)
    assert model.preferred_rows == 4
    scores, _ = model.score_and_projections(points, 0.3, np.ones((1, 50, 4)))
    np.testing.assert_allclose(scores, -0.5 * points, rtol=1e-6)
    with pytest.raises(ModelError, match="not enough memory for one point of dimension 4"):
        network(Hungry(0, error)).score(points, 0.3)


def test_short_representation():
    text = repr(network(build_network("mlp", {"dim": 4, "width": 8}, process=OU)))
    assert text.startswith("NetworkScore(ScoreMLP, ")
    assert "weights, predicts score, cpu)" in text
    assert len(text) < 100


def test_ranges_of_times():
    assert network().t_range is None
    assert network(t_range=(1e-3, 1)).t_range == (1e-3, 1.0)
    module = Foreign()
    module.t_range = (0.1, 0.5)
    assert network(module).t_range == (0.1, 0.5)
    for wrong in ((1.0, 0.5), (-1.0, 2.0), (np.nan, 1.0), (0.1,), 0.3, ("a", "b")):
        with pytest.raises(ModelError, match="t_range"):
            network(t_range=wrong)


def test_bad_arguments():
    for options, message in (
        ({"module": lambda x, t: x}, "module is a function; a torch.nn.Module is needed"),
        ({"process": "ou"}, "process must be a ForwardProcess"),
        ({"batch": 0}, "batch must be an integer of at least 1"),
        ({"batch": 1.5}, "batch must be an integer"),
        ({"condition_name": "class labels"}, "condition_name must be the name of an argument"),
        ({"condition": 3}, "condition= needs condition_name="),
    ):
        with pytest.raises(ModelError, match=message):
            network(**options)
