"""The idx format of the MNIST family: two zero bytes, a type, the number of axes, the sizes, then the numbers."""

import zlib

import numpy as np

from .errors import DataError

_UNSIGNED_BYTE = 8
_LARGEST = 1 << 30


def decode_idx(content: bytes, name: str) -> np.ndarray:
    """Array of unsigned bytes in an idx file, gzipped or not; sizes are checked before memory is taken."""
    if content[:2] == b"\x1f\x8b":
        content = gunzip(content, name)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != _UNSIGNED_BYTE or not 1 <= content[3] <= 4:
        raise DataError(f"{name} is not an idx file of unsigned bytes")
    axes = content[3]
    start = 4 + 4 * axes
    shape = tuple(int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(axes))
    expected = start + int(np.prod([float(s) for s in shape]))
    if len(content) != expected:
        raise DataError(f"{name} promises shape {shape} but holds {len(content)} bytes instead of {expected}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def gunzip(content: bytes, name: str) -> bytes:
    """Decompress, refusing what grows beyond a gigabyte."""
    decoder = zlib.decompressobj(wbits=31)
    try:
        out = decoder.decompress(content, _LARGEST)
    except zlib.error as error:
        raise DataError(f"{name} is not a valid gzip file: {error}") from None
    if decoder.unconsumed_tail or not decoder.eof:
        raise DataError(f"{name} is truncated, or larger than {_LARGEST} bytes when decompressed")
    return out
