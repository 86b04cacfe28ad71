"""Frozen features to align with: DINOv2's with a tiny network in its place, the stand-in's, and the stage."""

import numpy as np
import pytest
import timm
import torch
from torch.nn import functional as F

from tesserae.encoders import teachers
from tesserae.encoders.image_tokens import image_tokens
from tesserae.encoders.teachers import CHANNELS, side_of, teacher_features
from tesserae.stages.shared.teacher import open_teacher


def some_images(side=32):
    return 2 * torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0)) - 1


@pytest.fixture
def dinov2(monkeypatch, tmp_path):
    """A narrow network under DINOv2's name; the file is made of it, the path to it is the real one."""
    create, small = timm.create_model, {"embed_dim": 24, "depth": 1, "num_heads": 2}
    monkeypatch.setattr(timm, "create_model", lambda name, **settings: create(name, **small, **settings))
    monkeypatch.setattr(teachers, "DINOV2_SIDE", 28)
    monkeypatch.setenv(teachers.FOLDER_VARIABLE, str(tmp_path))
    teachers._read.cache_clear()
    torch.manual_seed(0)
    network = timm.create_model(teachers.DINOV2, img_size=28).eval()
    torch.save(network.state_dict(), tmp_path / teachers.DINOV2_FILE)
    yield network
    teachers._read.cache_clear()


@torch.no_grad()
def test_dinov2_says_the_whole_and_its_patches(dinov2):
    images = some_images().requires_grad_()
    found = teacher_features("dinov2_vitb14", images)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (teachers.MEAN, teachers.STD))
    seen = F.interpolate(images * 0.5 + 0.5, (28, 28), mode="bicubic", align_corners=False)
    torch.testing.assert_close(found, dinov2.forward_features((seen - mean) / std), atol=1e-5, rtol=1e-5)
    assert found.shape == (2, 1 + 4, 24) and not found.requires_grad


def test_published_dinov2_has_the_stated_channels():
    with torch.device("meta"):
        network = timm.create_model(teachers.DINOV2, img_size=teachers.DINOV2_SIDE)
    assert (network.embed_dim, network.num_prefix_tokens) == (CHANNELS["dinov2_vitb14"], 1)
    assert network.patch_embed.num_patches == 256  # of 224 pixels: the grid of COMiT's tokens at 256


def test_the_stand_in_is_that_of_image_tokens():
    assert torch.equal(teacher_features("lite2", some_images()), image_tokens("lite2", some_images()))
    assert (side_of("lite2", 32), side_of("dinov2_vitb14", 32)) == (64, 224)


def test_what_is_no_teacher(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="'embedded', and not one of dinov2_vitb14, lite2"):
        teacher_features("embedded", some_images())
    monkeypatch.setenv(teachers.FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(FileNotFoundError, match="set `teacher: lite2`"):
        teacher_features("dinov2_vitb14", some_images())


def test_features_of_images_as_they_are_and_mirrored(tmp_path):
    values = np.arange(3 * 2 * 5 * 2, dtype=np.float16).reshape(3, 2, 5, 2)
    parts = tmp_path / "1", tmp_path / "2"
    for folder, some in zip(parts, (values[:1], values[1:]), strict=True):
        folder.mkdir()
        np.save(folder / "features.npy", some)
    found = open_teacher(list(parts), side=2).of(np.array([2, 0]), np.array([0, 1]))
    assert found["teacher_pooled"].tolist() == [values[2, 0, 0].tolist(), values[0, 1, 0].tolist()]
    assert found["teacher_grid"].tolist() == [values[2, 0, 1:].tolist(), values[0, 1, 1:].tolist()]
    larger = open_teacher(list(parts), side=4).of(np.array([2]), np.array([1]))["teacher_grid"]
    corners = larger.view(4, 4, 2)[::3, ::3].reshape(4, 2)  # resizing without aligned corners leaves them
    assert torch.equal(corners, torch.from_numpy(values[2, 1, 1:]).float()) and larger.shape == (1, 16, 2)
