"""Real frames for benchmarks: the images that the configuration's first replayed camera shows."""

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.config import ApplianceConfig
from appliance.errors import ConfigError
from appliance.modelling import ModelInput, fit


def sample_frames(config: ApplianceConfig, model_input: ModelInput, limit: int = 64) -> NDArray[np.uint8]:
    """Load images as the model takes them: (N, 1, H, W) uint8, contiguous.

    Raises:
        ConfigError: No camera of the configuration replays images.
    """
    folder = next((camera.replayed_folder for camera in config.cameras if camera.replayed_folder), None)
    if folder is None:
        raise ConfigError("benchmarks need a camera that replays images: give --config examples/demo-real.toml")
    images = (cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in sorted(folder.iterdir())[:limit])
    placed = [fit(np.asarray(image, np.uint8), model_input)[0] for image in images if image is not None]
    if not placed:
        raise ConfigError(f"{folder}: holds no image that OpenCV reads")
    return np.ascontiguousarray(np.stack(placed)[:, np.newaxis])
