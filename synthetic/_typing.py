"""Array aliases shared by the package."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]
Float64Array = NDArray[np.float64]
IntArray = NDArray[np.intp]

# A mapping is the state of a bit generator.
SeedLike = np.random.Generator | np.random.SeedSequence | Mapping[str, Any] | int | None
