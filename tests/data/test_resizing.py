"""Images at another side: PIL's bicubic, image by image; nothing where the side is theirs."""

import numpy as np
import pytest
from PIL import Image

from tesserae.data.resizing import resized
from tesserae.metrics.features import extract

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 21, 21, 3)).astype(np.uint8)


@pytest.mark.parametrize("side", [16, 32])
def test_each_image_is_what_pil_makes_of_it(side):
    found = resized(IMAGES, side)
    assert found.shape == (3, side, side, 3) and found.dtype == np.uint8
    for image, small in zip(IMAGES, found, strict=True):
        assert np.array_equal(small, np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)))


def test_images_of_that_side_stay_as_they_are():
    assert resized(IMAGES, 21) is IMAGES


def test_features_are_those_of_resized_images():
    small = extract(resized(IMAGES, 16), "embedded", ["320"], batch_size=2, device="cpu")["320"]
    assert np.array_equal(extract(IMAGES, "embedded", ["320"], batch_size=2, device="cpu", side=16)["320"], small)
    assert not np.array_equal(extract(IMAGES, "embedded", ["320"], batch_size=2, device="cpu")["320"], small)
