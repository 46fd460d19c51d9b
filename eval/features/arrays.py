"""Features as NumPy arrays, whatever holds them: lists, arrays, torch's tensors on any device."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

NARROW = 4  # bytes of a number; a tensor's floats of fewer are widened, because NumPy has no bfloat16
REAL = "biuf"  # NumPy's kinds: bool, whole numbers, floats


def real_array(features: ArrayLike) -> NDArray[Any]:
    """The features as an array of real numbers, of any shape, not copied where they are one already.

    Tensors may require gradients. Raises ``ValueError`` for complex numbers and for what is no table of numbers.
    """
    try:
        array = np.asarray(_detached(features) if hasattr(features, "detach") else features)
    except (TypeError, ValueError, RuntimeError) as error:  # torch's words for what NumPy cannot hold
        raise ValueError(f"features must be a table of numbers: {str(error).splitlines()[0]}") from error
    if array.dtype.kind not in REAL:
        raise ValueError(f"features must be real numbers, not {array.dtype}")
    return array


def two_sets(first: ArrayLike, second: ArrayLike, more_than: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Both sets of features (N, D) and (M, D), as they are: parts are cheaper to widen than the whole.

    Raises ``ValueError`` for different widths, ``more_than`` rows or fewer on a side, or values not real and finite.
    """
    a, b = real_array(first), real_array(second)
    for side in (a, b):
        if side.ndim != 2 or len(side) <= more_than:
            raise ValueError(f"expected features (more than {more_than}, D), got {side.shape}")
        if not np.isfinite(side).all():
            raise ValueError("features must be finite")
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"features have different widths: {a.shape[1]} and {b.shape[1]}")
    return a, b


def _detached(tensor: Any) -> Any:
    """A tensor that NumPy reads. Known by its methods, so that the scorers need no torch."""
    tensor = tensor.detach().cpu()
    return tensor.float() if tensor.is_floating_point() and tensor.element_size() < NARROW else tensor
