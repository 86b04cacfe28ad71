"""IoU of attention maps with masks, against a formula pixel by pixel; random maps are as smooth as asked."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tesserae.metrics import objectness

SHARES = (10, 20, 30, 40)


def maps_and_masks(seed: int, images: int = 3, tokens: int = 5, grid: int = 4, side: int = 12):
    rng = torch.Generator().manual_seed(seed)
    masks = torch.rand(images, side, side, generator=rng) < 0.3
    masks[:, 0, 0] = True
    return torch.rand(images, tokens, grid, grid, generator=rng), masks


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_overlaps_are_those_of_a_formula_pixel_by_pixel(seed):
    maps, masks = maps_and_masks(seed)
    found = objectness.overlaps(maps, masks, SHARES)
    assert found.shape == (3, 5, 4)
    for image, mask in enumerate(masks):
        for token in range(5):
            large = objectness.enlarged(maps[image : image + 1, token : token + 1], 12)[0, 0].flatten().tolist()
            order = sorted(range(144), key=lambda pixel: (-large[pixel], pixel))
            there = set(mask.flatten().nonzero().flatten().tolist())
            for place, share in enumerate(SHARES):
                kept = set(order[: round(share * 1.44)])
                assert found[image, token, place].item() == pytest.approx(len(kept & there) / len(kept | there))


@given(seed=st.integers(0, 1000), scale=st.floats(0.01, 100), shift=st.floats(-10, 10))
@settings(max_examples=20, deadline=None)
def test_a_maps_scale_does_not_count_and_no_map_exceeds_the_ceiling(seed, scale, shift):
    maps, masks = maps_and_masks(seed)
    found = objectness.overlaps(maps, masks, SHARES)
    shifted = objectness.overlaps((scale * maps.double() + shift), masks, SHARES)
    assert (found - shifted).abs().max() < 0.05  # float32: two neighbouring pixels may change places
    assert (found <= objectness.ceiling(masks, SHARES)[:, None] + 1e-12).all() and (found >= 0).all()


def test_the_mask_itself_reaches_the_ceiling_at_every_share():
    _, masks = maps_and_masks(0, side=20)
    found = objectness.overlaps(masks[:, None].float(), masks, SHARES)  # G = S: nothing is enlarged
    assert torch.equal(found[:, 0], objectness.ceiling(masks, SHARES))
    square = torch.zeros(1, 20, 20, dtype=torch.bool)
    square[:, 5:15, 5:15] = True  # a quarter of the pixels
    assert objectness.ceiling(square, (25, 50)).tolist() == [[1.0, 0.5]]
    assert objectness.overlaps(~square[:, None] * 1.0, square, (25, 75))[0, 0].tolist() == [0.0, 0.0]


def test_many_rows_are_sorted_in_parts(monkeypatch):
    maps, masks = maps_and_masks(1)
    whole = objectness.overlaps(maps, masks, SHARES)
    monkeypatch.setattr(objectness, "ROWS", 1)
    assert torch.equal(objectness.overlaps(maps, masks, SHARES), whole)


def test_equal_values_are_kept_from_the_first_on():
    mask = torch.zeros(1, 10, 10, dtype=torch.bool)
    mask[:, :3] = True
    assert objectness.overlaps(torch.ones(1, 1, 5, 5), mask, (30,)).item() == 1.0


def test_without_an_object_there_is_nothing_to_find():
    maps, masks = maps_and_masks(0)
    masks[1] = False
    with pytest.raises(ValueError, match="the mask of image 1 is empty"):
        objectness.overlaps(maps, masks, SHARES)
    with pytest.raises(ValueError, match="a mask is bool, not"):
        objectness.ceiling(masks.float(), SHARES)
    for share in (0.1, 101):
        with pytest.raises(ValueError, match=f"{share} percent of 12 x 12 pixels cannot be kept"):
            objectness.kept(12, (30, share))


def test_the_middle_falls_evenly_to_all_sides():
    for side in (4, 5):
        found = objectness.middle(side)[0, 0]
        assert torch.equal(found, found.flip(0)) and torch.equal(found, found.T)
        assert found.max() == found[side // 2, side // 2] and found.min() == found[0, 0]


# ---- random maps --------------------------------------------------------------------------------------------------


def test_smoothness_is_that_of_the_order():
    rng = torch.Generator().manual_seed(0)
    noise = torch.rand(400, 8, 8, generator=rng)
    assert abs(objectness.smoothness(noise).mean()) < 0.02
    ramp = torch.arange(64.0).view(8, 8)
    board = (ramp // 8 + ramp % 8) % 2
    assert objectness.smoothness(board) == pytest.approx(-1, abs=1e-6)
    assert objectness.smoothness(torch.ones(8, 8)) == 1
    smooth = objectness.random_maps(torch.full((50,), 0.7), 8, np.random.default_rng(0))
    assert torch.allclose(objectness.smoothness(smooth), objectness.smoothness(smooth.exp() ** 2), atol=1e-5)
    shuffled = ramp.flatten()[torch.randperm(64, generator=rng)].view(8, 8)
    assert objectness.smoothness(ramp) > 0.7 > 0.3 > abs(objectness.smoothness(shuffled))


@pytest.mark.parametrize("side", [8, 16])
@pytest.mark.parametrize("wanted", [0.0, 0.3, 0.6, 0.8])
def test_random_maps_are_as_smooth_as_asked(side, wanted):
    found = objectness.random_maps(torch.full((600,), wanted), side, np.random.default_rng(3))
    assert objectness.smoothness(found).mean() == pytest.approx(wanted, abs=0.02)


def test_random_maps_know_no_place():
    found = objectness.random_maps(torch.full((3000,), 0.6), 8, np.random.default_rng(3))
    assert found.mean(0).abs().max() < 0.1 and (found.var(0) - 1).abs().max() < 0.15
    again, other = (objectness.random_maps(torch.tensor([0.6]), 8, np.random.default_rng(seed)) for seed in (3, 4))
    assert torch.equal(again, objectness.random_maps(torch.tensor([0.6]), 8, np.random.default_rng(3)))
    assert not torch.equal(again, other)


def test_chance_grows_with_the_number_of_tokens_and_with_smoothness():
    mask = torch.zeros(1, 32, 32, dtype=torch.bool)
    mask[:, 8:24, 6:20] = True

    def chance(tokens: int, smoothness: float) -> float:
        drawn = [
            objectness.random_maps(torch.full((tokens,), smoothness), 8, np.random.default_rng((tokens, seed)))
            for seed in range(30)
        ]
        return objectness.overlaps(torch.stack(drawn), mask.expand(30, -1, -1), (30,)).amax(1).mean().item()

    assert chance(1, 0.7) < chance(4, 0.7) - 0.05 < chance(64, 0.7) - 0.1
    assert chance(16, 0.0) < chance(16, 0.8) - 0.1
