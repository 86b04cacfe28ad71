"""Images at another side than their own. Apart from transforms.py, since that is what data sets are made with."""

import numpy as np
from PIL import Image


def resized(images: np.ndarray, side: int) -> np.ndarray:
    """uint8 (B, H, W, 3) -> uint8 (B, side, side, 3), bicubic as PIL does it: with antialiasing, rounded to uint8."""
    if images.shape[1:3] == (side, side):
        return images
    return np.stack([Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC) for image in images])
