"""Array aliases shared by the package."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]
Float64Array = NDArray[np.float64]
SeedLike = np.random.Generator | np.random.SeedSequence | int | None
Array = Any  # a numpy array or a torch tensor: what comes in as one goes out as the same
