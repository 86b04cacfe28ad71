"""Frozen spatial features: grids, range, and DINOv2's path with a tiny network in its place."""

import pytest
import timm
import torch
from torch.nn import functional as F

from tesserae.encoders import foundation
from tesserae.encoders.embedded import NETWORKS, EmbeddedNetwork
from tesserae.encoders.foundation import CHANNELS, spatial_features


def some_images(side=32):
    return 2 * torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0)) - 1


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("side", "grid"), [(32, 8), (16, 4), (32, 3)])
def test_embedded_features_lie_on_the_grid(name, side, grid):
    images = some_images(side).requires_grad_()
    features = spatial_features(name, images, grid)
    assert features.shape == (2, CHANNELS[name], grid, grid)
    assert not features.requires_grad
    assert torch.equal(features, spatial_features(name, images, grid))


@pytest.mark.parametrize(("name", "channels"), [("embedded", 112), ("lite2", 120)])
def test_embedded_features_are_the_networks_own(name, channels):
    network = EmbeddedNetwork(64, name=name)
    with torch.no_grad():
        maps = network.stages(some_images())[4]
    assert maps.shape == (2, channels, 4, 4)
    wanted = F.interpolate(maps, (8, 8), mode="bilinear")
    torch.testing.assert_close(spatial_features(name, some_images(), 8), wanted)


def test_embedded_features_say_where():
    images, changed = some_images(), some_images()
    changed[:, :, :8, 24:] = 1.0  # a white square at the top right
    difference = (spatial_features("embedded", images, 8) - spatial_features("embedded", changed, 8)).abs().sum((0, 1))
    assert difference[:4, 4:].mean() > 2 * difference[4:, :4].mean()


@pytest.fixture
def dinov2(monkeypatch, tmp_path):
    """timm's smallest ViT under DINOv2's name; the file is made of it, the path to it is the real one."""
    monkeypatch.setattr(foundation, "DINOV2", "test_vit")
    monkeypatch.setattr(foundation, "DINOV2_PATCH", 16)
    monkeypatch.setenv(foundation.FOLDER_VARIABLE, str(tmp_path))
    foundation._read_dinov2.cache_clear()
    network = timm.create_model("test_vit", dynamic_img_size=True).eval()
    torch.save(network.state_dict(), tmp_path / foundation.DINOV2_FILE)
    yield network
    foundation._read_dinov2.cache_clear()


@torch.no_grad()
def test_dinov2_sees_a_patch_for_each_latent(dinov2):
    features = spatial_features("dinov2", some_images(), 4)
    x = F.interpolate(some_images(), (64, 64), mode="bilinear", align_corners=False)
    tokens = dinov2.forward_features(x)[:, 1:]  # without the class token
    assert features.shape == (2, tokens.shape[2], 4, 4)
    torch.testing.assert_close(features[:, :, 1, 2], tokens[:, 4 + 2])  # row by row


def test_published_dinov2_has_the_stated_channels():
    with torch.device("meta"):
        network = timm.create_model(foundation.DINOV2)
    assert (network.embed_dim, network.patch_embed.patch_size[0]) == (CHANNELS["dinov2"], foundation.DINOV2_PATCH)
    assert sum(p.numel() for p in network.parameters()) == 304_368_640 - 1024  # no mask token


def test_missing_dinov2_weights_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv(foundation.FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(FileNotFoundError, match="foundation: lite2") as error:
        spatial_features("dinov2", some_images(), 4)
    assert str(tmp_path / foundation.DINOV2_FILE) in str(error.value)


def test_wrong_dinov2_weights_are_refused(dinov2, tmp_path):
    state = dinov2.state_dict()
    del state["cls_token"]
    torch.save(state, tmp_path / foundation.DINOV2_FILE)
    with pytest.raises(RuntimeError, match="cls_token"):
        spatial_features("dinov2", some_images(), 4)
