"""Names for the array types that masks are computed with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
