"""The perceptual loss at its real architecture, with deterministic weights, against official numbers."""

import hashlib

import pytest
import torch

from tesserae.losses import perceptual
from tesserae.losses.perceptual import PerceptualLoss, missing_weights
from tests import golden

GOLDEN = golden.load("detok")["perceptual"]


def published_files():
    """Weights under the names of the published files, filled by the names that the official loss gives them."""
    vgg, heads = {}, {}
    for name, shape in GOLDEN["keys"].items():
        tensor = golden.seeded_array(f"lpips.{name}", tuple(shape), 0.05)
        if name.startswith("net."):
            vgg["features." + name.split(".", 2)[2]] = tensor
        else:
            heads[name] = tensor.abs()
    return vgg, heads


@pytest.fixture(scope="module")
def loss():
    network = PerceptualLoss()
    network.lpips.load_pretrained(*published_files())
    with torch.no_grad():
        for name, parameter in network.convnext.net.named_parameters():
            noise = golden.seeded_array(f"convnext.{name}", tuple(parameter.shape), 0.05)
            parameter.copy_(1 + noise if parameter.ndim == 1 and name.endswith("weight") else noise)
    return network


@pytest.fixture(scope="module")
def pair():
    target = golden.seeded_array("target", (2, 3, 64, 64), 0.3).add(0.5).clamp(0, 1)
    return target, target + golden.seeded_array("error", (2, 3, 64, 64), 0.1)


@torch.no_grad()
def test_official_numbers(loss, pair):
    target, prediction = pair
    assert loss.lpips(2 * target - 1, 2 * prediction - 1).tolist() == pytest.approx(GOLDEN["lpips"], rel=1e-4)
    assert loss(target[:1], prediction[:1]).item() == pytest.approx(GOLDEN["total"], rel=1e-4)
    larger_than_convnext = golden.seeded_array("large", (2, 1, 3, 256, 256), 0.3).add(0.5).clamp(0, 1)
    assert loss.convnext(*larger_than_convnext).item() == pytest.approx(GOLDEN["convnext"], rel=1e-4)


def test_gradient_reaches_the_prediction_only(loss, pair):
    target, prediction = pair[0][:1].clone().requires_grad_(), pair[1][:1].clone().requires_grad_()
    loss.lpips(target, prediction).sum().backward()
    assert prediction.grad.any() and target.grad is None
    assert not any(p.requires_grad for p in loss.parameters())


@torch.no_grad()
def test_lpips_is_a_distance(loss):
    images = torch.rand(2, 3, 32, 32)
    assert loss.lpips(images, images).tolist() == [0, 0]
    near, far = loss.lpips(images, images + 0.01), loss.lpips(images, images.flip(0))
    assert (near > 0).all() and (near < far).all()


def test_evaluation_mode(loss):
    assert not any(module.training for module in loss.modules())  # stochastic depth stays off


def test_missing_files_are_named_with_place_and_remedy(loss, tmp_path):
    (tmp_path / "vgg.pth").touch()
    with pytest.raises(FileNotFoundError) as error:
        loss.load_pretrained(tmp_path)
    for part in (str(tmp_path / "vgg16-397923af.pth"), "ConvNeXt_Small_Weights", perceptual.FOLDER_VARIABLE, "remedy"):
        assert part in str(error.value)
    assert "vgg.pth:" not in str(error.value)
    assert len(missing_weights(None)) == 3


def test_checksums(tmp_path, monkeypatch):
    name, _, _, origin = perceptual.FILES["heads"]
    torch.save({"weight": torch.ones(2)}, tmp_path / name)
    with pytest.raises(ValueError, match="md5"):
        perceptual._read(tmp_path, "heads")
    digest = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    monkeypatch.setitem(perceptual.FILES, "heads", (name, "sha256", digest[:8], origin))
    assert perceptual._read(tmp_path, "heads")["weight"].tolist() == [1, 1]


def test_published_files_are_loaded(loss, tmp_path, monkeypatch):
    vgg, heads = published_files()
    contents = {
        "vgg": vgg | {"classifier.0.weight": torch.zeros(1)},
        "convnext": loss.convnext.net.state_dict(),
        "heads": {name: 2 * tensor for name, tensor in heads.items()},
    }
    for name, *_ in perceptual.FILES.values():
        (tmp_path / name).touch()
    monkeypatch.setattr(perceptual, "_read", lambda folder, role: contents[role])
    doubled = PerceptualLoss().load_pretrained(tmp_path)
    images = torch.rand(2, 1, 3, 32, 32)
    with torch.no_grad():
        assert doubled.lpips(*images).item() == pytest.approx(2 * loss.lpips(*images).item(), rel=1e-5)
    ours, theirs = doubled.convnext.net.state_dict(), contents["convnext"]
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())


def test_lpips_alone_needs_two_files(tmp_path, monkeypatch):
    vgg, heads = published_files()
    perceptual._pretrained_lpips.cache_clear()
    monkeypatch.setenv(perceptual.FOLDER_VARIABLE, str(tmp_path))
    images = torch.rand(2, 3, 3, 32, 32)
    with pytest.raises(FileNotFoundError, match="vgg16") as error:
        perceptual.pretrained_lpips(*images)
    assert "convnext" not in str(error.value)
    for role in ("vgg", "heads"):
        (tmp_path / perceptual.FILES[role][0]).touch()
    monkeypatch.setattr(perceptual, "_read", lambda folder, role: {"vgg": vgg, "heads": heads}[role])
    network = perceptual.LPIPS()
    network.load_pretrained(vgg, heads)
    prediction = images[1].requires_grad_()
    distance = perceptual.pretrained_lpips(images[0], prediction)
    assert distance.item() == pytest.approx(network(*images).mean().item(), rel=1e-5)
    distance.backward()
    assert prediction.grad.any()
    perceptual._pretrained_lpips.cache_clear()
