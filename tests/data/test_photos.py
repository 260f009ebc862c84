"""Patches of photos: their pixels, their quarters, and the photos they were cut from."""

import numpy as np
import pytest

from sfbench.data import DataError, data_entry
from sfbench.data.photos import photo_patches


def test_patches_are_where_they_say():
    photo = np.arange(40 * 50 * 3).reshape(40, 50, 3)
    patches, quarters = photo_patches(photo, 8, 4)
    assert patches.shape == (4 * 4 * 5, 8 * 8 * 3)  # quarters of 20 x 25
    cut = patches.reshape(4, 4, 5, 8, 8, 3)
    np.testing.assert_array_equal(quarters.reshape(4, -1), np.arange(4)[:, None] * np.ones((1, 20), int))
    np.testing.assert_array_equal(cut[0, 1, 2], photo[4:12, 8:16])
    np.testing.assert_array_equal(cut[3, 0, 0], photo[20:28, 25:33])
    pixels = [set(patches[quarters == q].ravel()) for q in range(4)]
    assert not any(pixels[a] & pixels[b] for a in range(4) for b in range(a))  # every number is one pixel
    with pytest.raises(DataError, match="hold no patches of side 30"):
        photo_patches(photo, 30, 4)


def test_the_bundled_photos(real_items):
    from sklearn.datasets import load_sample_images

    items = real_items("photos")
    photos = dict(zip(("china", "flower"), load_sample_images().images, strict=True))
    entry = data_entry("photos")
    assert entry.shape == (16, 16, 3)
    for label, name in enumerate(entry.classes):
        patches = items.x[(items.y == label) & (items.groups == 4 * label + 3)].reshape(-1, 16, 16, 3)
        np.testing.assert_array_equal(patches[0], photos[name][213:229, 320:336])
