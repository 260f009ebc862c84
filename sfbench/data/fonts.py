r"""Digits rendered from handwriting fonts: ten writers, of whom each writes every digit one way, with a shaking hand.

A glyph is rasterised once for each of several pens (its outline widened; sizes are such that an 8 is 150 pixels high),
then every image is one affine map of it: a rotation, a shear, a stretch and a size, all drawn anew, about the centre of
mass, which lands near the middle of the image as MNIST's digits do. The map is evaluated on a grid four times as fine
as the image and averaged, so that strokes stay smooth.

The draws are the same everywhere; the last levels of the pixels may differ with the FreeType that Pillow brings. So the
decoded arrays carry no sha256 of ours: keep `Items.digest` beside results.
"""

import io
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.spatial import ConvexHull

from .._internal.aliases import SeedLike
from .._internal.validation import as_generator
from .entry import Arrays, Files

_SIDE, _FINE, _HEIGHT, _MARGIN = 28, 4, 150, 20
_PENS = (0, 2, 4, 6)  # pixels by which strokes grow on either side; the last adds about 1.5 pixels of the image
_PER_GLYPH = 300
_SEED = 20_240_619


class _Glyph(NamedTuple):
    levels: np.ndarray  # (h, w), with a margin around the ink
    centre: np.ndarray  # (2,), column and row of the centre of mass
    hull: np.ndarray  # (m, 2), corners of the ink's convex hull, about the centre


def render_digits(fonts: Mapping[str, bytes], n: int, *, rng: SeedLike = None) -> Arrays:
    """Render every digit of every font n times.

    Parameters
    ----------
    fonts : mapping of str to bytes
        Font files; any format that FreeType reads.
    n : int
        Images of one digit by one font.
    rng : Generator, SeedSequence, int or None

    Returns
    -------
    images : ndarray (10 n len(fonts), 784) of uint8
        White on black; sorted by font, then digit.
    digits, groups : ndarray (10 n len(fonts),) of int64
        The digit, and the index of the font.
    """
    generator = as_generator(rng)
    images = np.empty((len(fonts), 10, n, _SIDE * _SIDE), np.uint8)
    for i, content in enumerate(fonts.values()):
        for digit in range(10):
            # Every number of a glyph is drawn before any pixel, so that no image depends on the rasteriser's answers.
            pens = generator.integers(len(_PENS), size=n)
            draws = generator.uniform(-1.0, 1.0, (n, 6))
            glyphs = {int(p): _glyph(content, str(digit), _PENS[p]) for p in np.unique(pens)}
            for j in range(n):
                images[i, digit, j] = _shaken(glyphs[int(pens[j])], draws[j])
    index = np.indices(images.shape[:3]).reshape(3, -1)
    return images.reshape(-1, _SIDE * _SIDE), index[1], index[0]


def _glyph(content: bytes, text: str, pen: int) -> _Glyph:
    """One character of a font, drawn with a pen."""
    from PIL import Image, ImageDraw, ImageFont

    def sized(em: float) -> ImageFont.FreeTypeFont:
        # The basic layout engine is part of Pillow; the other one is a library that may or may not be there.
        return ImageFont.truetype(io.BytesIO(content), em, layout_engine=ImageFont.Layout.BASIC)

    _, top, _, bottom = sized(_HEIGHT).getbbox("8")
    font = sized(round(_HEIGHT**2 / (bottom - top)))
    left, top, right, bottom = (int(v) for v in font.getbbox(text, stroke_width=pen))
    image = Image.new("L", (right - left + 2 * _MARGIN, bottom - top + 2 * _MARGIN))
    ImageDraw.Draw(image).text((_MARGIN - left, _MARGIN - top), text, font=font, fill=255, stroke_width=pen)
    levels = np.asarray(image)
    rows, columns = np.nonzero(levels > 127)
    ink = np.stack([columns, rows], axis=1) + 0.5
    weights = levels[rows, columns].astype(np.float64)
    centre = weights @ ink / weights.sum()
    return _Glyph(levels, centre, ink[ConvexHull(ink).vertices] - centre)


def _shaken(glyph: _Glyph, draw: np.ndarray) -> np.ndarray:
    """One image, flattened: the glyph under the affine map that six numbers in [-1, 1] describe."""
    from PIL import Image

    turn, shear, stretch, size, right, down = draw
    angle, slope, ratio = np.deg2rad(12.0) * turn, 0.2 * shear, np.exp(0.06 * stretch)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shape = rotation @ np.array([[1.0, slope], [0.0, 1.0]]) @ np.diag([ratio, 1.0 / ratio])
    extent = glyph.hull @ shape.T
    wanted = _SIDE * (0.66 + 0.06 * size)  # the longer side; MNIST's digits fill 20 of 28 pixels
    scale = min(wanted / np.ptp(extent, axis=0).max(), (_SIDE / 2 - 1.5) / np.abs(extent).max())  # all of it is seen
    middle = _FINE * (_SIDE / 2 + 0.5 * np.array([right, down]))
    back = np.linalg.inv(shape * scale * _FINE)
    offset = glyph.centre - back @ middle
    coefficients = (back[0, 0], back[0, 1], offset[0], back[1, 0], back[1, 1], offset[1])
    fine = (_FINE * _SIDE, _FINE * _SIDE)
    drawn = Image.fromarray(glyph.levels).transform(
        fine, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR
    )
    return np.asarray(drawn.reduce(_FINE)).ravel()


def decode(files: Files, split: str) -> Arrays:
    """All fonts, in the order of the entry's groups."""
    return render_digits(files, _PER_GLYPH, rng=_SEED)
