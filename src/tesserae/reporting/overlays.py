"""Pictures of patches: images of which some patches are darkened, and maps of numbers as colours.

Shapes: H x W pixels, G x G patches; images are uint8 (..., H, W, 3).
"""

import numpy as np

DARK = 30 / 255  # what is left of a patch's light (the public PatchSAE demo)
MAP = "magma"  # from black to light yellow, the same to all eyes


def spread(patches: np.ndarray, height: int, width: int) -> np.ndarray:
    """A value of each patch (..., G, G) -> of each pixel (..., H, W)."""
    down = np.arange(height) * patches.shape[-2] // height
    across = np.arange(width) * patches.shape[-1] // width
    return patches[..., down[:, None], across]


def shade(images: np.ndarray, lit: np.ndarray) -> np.ndarray:
    """Images with all patches darkened but those of which bool (..., G, G) says yes."""
    shown = spread(lit, *images.shape[-3:-1])
    return np.where(shown[..., None], images, np.round(DARK * images)).astype(np.uint8)


def colours(numbers: np.ndarray, highest: float) -> np.ndarray:
    """Numbers (..., H, W) from 0, black, to `highest` and above, the lightest -> uint8 (..., H, W, 3)."""
    from matplotlib import colormaps

    share = np.clip(numbers / highest, 0, 1) if highest > 0 else np.zeros_like(numbers)
    return np.round(255 * colormaps[MAP](share)[..., :3]).astype(np.uint8)
