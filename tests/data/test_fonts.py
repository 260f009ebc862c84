"""Rendered digits: every image whole, centred, different, the same for a seed, and of the class it says."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest

from sfbench.data import data_entry
from sfbench.data.fonts import render_digits

FOLDER = Path(matplotlib.get_data_path()) / "fonts" / "ttf"


@pytest.fixture(scope="module")
def fonts():
    return {name: (FOLDER / f"{name}.ttf").read_bytes() for name in ("DejaVuSans", "DejaVuSerif")}


@pytest.fixture(scope="module")
def rendered(fonts):
    return render_digits(fonts, 20, rng=0)


@pytest.mark.slow
def test_order_and_labels(rendered):
    images, digits, groups = rendered
    assert images.shape == (400, 784)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(digits, np.tile(np.repeat(np.arange(10), 20), 2))
    np.testing.assert_array_equal(groups, np.repeat([0, 1], 200))


def test_every_image_is_whole_centred_and_white_on_black(rendered):
    images = rendered[0].reshape(-1, 28, 28).astype(float)
    border = np.concatenate([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], axis=1)
    assert border.max() == 0
    assert images.max(axis=(1, 2)).min() > 200
    grid = np.arange(28) + 0.5
    mass = images.sum(axis=(1, 2))
    across = (images.sum(axis=1) @ grid) / mass
    down = (images.sum(axis=2) @ grid) / mass
    assert np.abs(np.stack([across, down]) - 14).max() < 0.75  # the hand shakes by half a pixel
    sides = [max(np.ptp(np.nonzero(image > 127), axis=1) + 1) for image in images]
    assert 14 <= min(sides) <= max(sides) <= 23
    assert 18 <= np.mean(sides) <= 20  # MNIST's are 20


@pytest.mark.slow
def test_images_vary_and_depend_on_the_seed_alone(fonts, rendered):
    images = rendered[0]
    assert len(np.unique(images, axis=0)) == len(images)
    np.testing.assert_array_equal(render_digits(fonts, 20, rng=0)[0], images)
    assert not np.array_equal(render_digits(fonts, 20, rng=1)[0], images)


@pytest.mark.slow
def test_digits_are_what_the_labels_say(rendered):
    """Half of the images classify the other half by their nearest neighbour; shuffled labels do not."""
    images, digits, _ = rendered
    even, odd = images[::2].astype(float), images[1::2].astype(float)
    nearest = ((odd[:, None] - even) ** 2).sum(axis=2).argmin(axis=1)
    assert (digits[::2][nearest] == digits[1::2]).mean() > 0.95
    shuffled = np.random.default_rng(0).permutation(digits[::2])
    assert (shuffled[nearest] == digits[1::2]).mean() < 0.3


def test_fonts_differ_more_than_their_images_do(rendered):
    images, digits, groups = rendered
    means = np.array([[images[(digits == d) & (groups == g)].mean(axis=0) for d in range(10)] for g in (0, 1)])
    within = np.mean([images[(digits == d) & (groups == 0)].var(axis=0).sum() / 20 for d in range(10)])
    assert ((means[0] - means[1]) ** 2).sum(axis=1).mean() > 5 * within


@pytest.mark.data
def test_the_ten_fonts(real_files):
    """Rendered anew and small: their files are verified, what FreeType makes of them is not pinned."""
    fonts = real_files("font_digits")
    images, _, groups = render_digits(fonts, 1, rng=0)
    assert groups.tolist() == np.repeat(np.arange(10), 10).tolist()
    assert [name.removesuffix(".woff") for name in fonts] == list(data_entry("font_digits").groups)
    assert 25 < images.mean() < 42  # MNIST's mean level is 33
    assert len(np.unique(images, axis=0)) == 100
