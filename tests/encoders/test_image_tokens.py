"""Frozen tokens of an image: the stand-in's, DINOv2's with a tiny network in its place, and how images are resized."""

import pytest
import timm
import torch
from torch.nn import functional as F

from tesserae.encoders import dinov2_registers
from tesserae.encoders.embedded import EmbeddedNetwork
from tesserae.encoders.image_tokens import CHANNELS, image_tokens, resized, side_of
from tests import golden


def some_images(side=32):
    return 2 * torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0)) - 1


@pytest.mark.parametrize(("side", "seen"), [(32, 64), (16, 32), (8, 32)])
def test_the_stand_in_says_the_whole_and_then_its_places(side, seen):
    images = some_images(side).requires_grad_()
    found, wanted = image_tokens("lite2", images), EmbeddedNetwork(seen, name="lite2").stages(images.detach(), 5)[-1]
    places = (seen // 16) ** 2
    assert side_of("lite2", side) == seen and found.shape == (2, 1 + places, CHANNELS["lite2"])
    assert not found.requires_grad
    torch.testing.assert_close(found[:, 1:], wanted.flatten(2).transpose(1, 2))
    torch.testing.assert_close(found[:, 0], wanted.mean(dim=(2, 3)))


def test_images_are_resized_as_hita_resizes_them():
    """Numbers of kornia 0.9, which its code calls."""
    wanted = golden.load("hita")["resized"]
    for case in wanted:
        images = golden.seeded_array("resized", (2, 3, case["from"], case["from"]), 0.7)
        found = resized(images, case["to"]).flatten()
        chosen = found[torch.linspace(0, len(found) - 1, 32).long()]
        torch.testing.assert_close(chosen, torch.tensor(case["values"]), atol=1e-6, rtol=0)
    assert {case["from"] > case["to"] for case in wanted} == {True, False}


def test_resizing_keeps_flat_images_and_corners():
    assert torch.equal(resized(some_images(), 32), some_images())
    flat = torch.full((1, 3, 30, 30), 0.3)
    torch.testing.assert_close(resized(flat, 14), torch.full((1, 3, 14, 14), 0.3))
    small = some_images(8)
    torch.testing.assert_close(resized(small, 22)[..., ::21, ::21], small[..., ::7, ::7])


@pytest.fixture
def dinov2(monkeypatch, tmp_path):
    """A narrow network under DINOv2's name; the file is made of it, the path to it is the real one."""
    create, small = timm.create_model, {"embed_dim": 24, "depth": 1, "num_heads": 2}
    monkeypatch.setattr(timm, "create_model", lambda name, **settings: create(name, **small, **settings))
    monkeypatch.setattr(dinov2_registers, "SIDE", 28)
    monkeypatch.setenv(dinov2_registers.FOLDER_VARIABLE, str(tmp_path))
    dinov2_registers._read.cache_clear()
    torch.manual_seed(0)
    network = timm.create_model(dinov2_registers.NETWORK, img_size=28).eval()
    torch.save(network.state_dict(), tmp_path / dinov2_registers.FILE)
    yield network
    dinov2_registers._read.cache_clear()


@torch.no_grad()
def test_dinov2_says_the_whole_and_its_places_without_registers(dinov2):
    found = image_tokens("dinov2_registers", some_images(42))
    normalised = (resized(some_images(42), 28) * 0.5 + 0.5 - torch.tensor(dinov2_registers.MEAN).view(3, 1, 1)) / (
        torch.tensor(dinov2_registers.STD).view(3, 1, 1)
    )
    wanted = dinov2.forward_features(normalised)
    assert wanted.shape[1] == 1 + 4 + 4 and found.shape == (2, 1 + 4, 24)
    torch.testing.assert_close(found[:, 0], wanted[:, 0])
    torch.testing.assert_close(found[:, 1:], wanted[:, 5:])
    shrunk = F.interpolate(some_images(42), (28, 28), mode="bicubic", antialias=True)
    torch.testing.assert_close(
        dinov2_registers.class_token(some_images(42)), dinov2_registers.tokens(shrunk)[:, 0], atol=1e-6, rtol=1e-5
    )


def test_published_dinov2_has_the_stated_channels():
    with torch.device("meta"):
        network = timm.create_model(dinov2_registers.NETWORK, img_size=dinov2_registers.SIDE)
    assert network.embed_dim == CHANNELS["dinov2_registers"] and network.num_prefix_tokens == 5
    assert network.patch_embed.num_patches == 256


def test_missing_weights_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv(dinov2_registers.FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(FileNotFoundError, match="of Hita `foundation: lite2`") as error:
        image_tokens("dinov2_registers", some_images())
    assert str(tmp_path / dinov2_registers.FILE) in str(error.value)
