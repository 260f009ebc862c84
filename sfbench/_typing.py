"""Array aliases shared by the package."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]
Float64Array = NDArray[np.float64]
SeedLike = np.random.Generator | np.random.SeedSequence | int | None
