"""Whether images with more to say take more tokens: TaTok's claim of adaptivity, of which it prints no number."""

from io import BytesIO

import numpy as np
from PIL import Image

QUALITY = 90  # of the JPEG files


def jpeg_bytes(images: np.ndarray) -> np.ndarray:
    """Size of each image (B, H, W, 3) uint8 as a JPEG file, int64 (B,): how much it shows, asked of no tokenizer."""
    sizes = []
    for image in images:
        file = BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=QUALITY)
        sizes.append(file.tell())
    return np.array(sizes, np.int64)


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float | None:
    """Spearman's, -1 to 1, ties sharing their mean rank; None where one of both is constant, which has no ranks."""
    from scipy.stats import spearmanr

    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(spearmanr(one, other).statistic)
