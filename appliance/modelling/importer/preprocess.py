"""Preprocessing in NumPy, as a training library does it: the reference that the wrapped network is held against."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.modelling.importer.facts import Preprocessing
from appliance.modelling.importer.image_input import ImageInput


def network_values(picture: NDArray[np.uint8], image: ImageInput, preprocessing: Preprocessing) -> NDArray[Any]:
    """Turn one picture into what the network was trained on.

    Args:
        picture: (H, W, 1) for a grey camera or (H, W, 3) in the network's channel order, of the input's size.
        image: The network's input.
        preprocessing: Divisor, mean and std; ignored where the network itself reads uint8.
    Returns:
        One item of the batch in the network's layout and dtype, with its batch axis where it has one.
    """
    channels = np.repeat(picture, image.channels, axis=2) if picture.shape[2] == 1 else picture
    values: NDArray[Any] = channels
    if image.facts.dtype != "uint8":
        values = channels.astype(np.float32) / np.float32(preprocessing.divisor)
        if preprocessing.mean:
            values = values - np.array(preprocessing.mean, np.float32)
        if preprocessing.std:
            values = values / np.array(preprocessing.std, np.float32)
        values = values.astype(image.facts.dtype)
    if image.layout == "NCHW":
        values = values.transpose(2, 0, 1)
    return np.ascontiguousarray(values[None] if image.has_batch_axis else values)
