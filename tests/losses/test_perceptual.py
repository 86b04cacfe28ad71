"""The perceptual losses: the papers' at their real architecture, with deterministic weights, against official numbers;
the small scales' against an independent formula."""

import hashlib

import pytest
import skimage.data
import torch
from torch.nn import functional as F

from tesserae.encoders.embedded import NETWORKS, packaged_weights, read_weights, rename_by_order
from tesserae.losses import perceptual
from tesserae.losses.perceptual import LOSSES, EarlyStages, PerceptualLoss, lite2_distance, missing_weights
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


def test_convnext_alone_needs_one_file(loss, tmp_path, monkeypatch):
    perceptual._pretrained_convnext.cache_clear()
    monkeypatch.setenv(perceptual.FOLDER_VARIABLE, str(tmp_path))
    images = 2 * torch.rand(2, 1, 3, 32, 32) - 1
    with pytest.raises(FileNotFoundError, match="convnext_small") as error:
        perceptual.pretrained_convnext(*images)
    assert "vgg" not in str(error.value)
    (tmp_path / perceptual.FILES["convnext"][0]).touch()
    monkeypatch.setattr(perceptual, "_read", lambda folder, role: {"convnext": loss.convnext.net.state_dict()}[role])
    prediction = images[1].requires_grad_()
    distance = perceptual.pretrained_convnext(images[0], prediction)
    wanted = loss.convnext(*(images.detach() / 2 + 0.5))  # images of models in [-1, 1], its own in [0, 1]
    assert distance.item() == pytest.approx(wanted.item(), rel=1e-5)
    distance.backward()
    assert prediction.grad.any()
    perceptual._pretrained_convnext.cache_clear()


def test_both_networks_see_the_images_that_models_have(monkeypatch):
    seen, images = [], 2 * torch.rand(2, 1, 3, 8, 8) - 1
    monkeypatch.setattr(perceptual, "_pretrained", lambda *_: lambda *pair: seen.append(pair))
    perceptual.pretrained_perceptual_loss(*images)
    torch.testing.assert_close(torch.stack(seen[0]), (images + 1) / 2)


# ---- small scales -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def early() -> EarlyStages:
    return EarlyStages()


@pytest.fixture(scope="module")
def photographs() -> torch.Tensor:
    """Three small pictures in [-1, 1], (3, 3, 32, 32)."""
    pictures = [torch.from_numpy(getattr(skimage.data, name)()) for name in ("chelsea", "coffee", "rocket")]
    squares = [x[:300, :300].permute(2, 0, 1)[None].float() / 127.5 - 1 for x in pictures]
    return torch.cat([F.interpolate(x, (32, 32), mode="bilinear", antialias=True) for x in squares])


@torch.no_grad()
def test_early_stages_are_cosines_of_the_networks_maps(early, photographs):
    """By timm's own network, its batch norms where they were."""
    network = NETWORKS["lite2"].architecture(pretrained=False)
    network.load_state_dict(rename_by_order(read_weights(packaged_weights("lite2"), "lite2"), network))
    network.eval()
    pair = torch.stack([photographs[:2], photographs[1:]])
    larger = F.interpolate(pair.flatten(0, 1), (48, 48), mode="bilinear")
    x = network.bn1(network.conv_stem(((larger + 1) * 127.5 - 127) / 128))
    distances = []
    for stage in network.blocks[:2]:
        x = stage(x)
        a, b = x.unflatten(0, (2, 2))
        distances.append(2 - 2 * F.cosine_similarity(a, b, dim=1).mean(dim=(1, 2)))
    torch.testing.assert_close(early(*pair), torch.stack(distances).mean(dim=0), atol=1e-5, rtol=1e-4)
    assert not any(parameter.requires_grad for parameter in early.parameters())


@torch.no_grad()
def test_worse_images_are_further_away(early, photographs):
    def blurred(side):
        return F.interpolate(F.adaptive_avg_pool2d(photographs, side), (32, 32), mode="bilinear")

    def turned(amount):  # hues: colours move towards the next channel's
        return torch.lerp(photographs, photographs.roll(1, dims=1), amount)

    assert early(photographs, photographs).tolist() == [0, 0, 0]
    for damage, mild, strong in ((blurred, 16, 8), (turned, 0.1, 0.5), (lambda x: photographs + x, 0.05, 0.2)):
        some, more = early(photographs, damage(mild)), early(photographs, damage(strong))
        assert (some > 1e-4).all() and (more > 1.2 * some).all(), damage


@torch.no_grad()
def test_an_image_is_compared_by_itself(early, photographs):
    others = photographs.flip(0)
    alone = torch.cat([early(a[None], b[None]) for a, b in zip(photographs, others, strict=True)])
    torch.testing.assert_close(early(photographs, others), alone, atol=1e-5, rtol=1e-4)
    assert lite2_distance(photographs, others).item() == pytest.approx(alone.mean().item(), rel=1e-4)


def test_only_the_prediction_learns(early, photographs):
    target, prediction = photographs.clone().requires_grad_(), (0.9 * photographs).requires_grad_()
    lite2_distance(target, prediction).backward()
    assert target.grad is None and prediction.grad.flatten(1).any(dim=1).all()
    same = photographs.clone().requires_grad_()
    lite2_distance(photographs, same).backward()
    assert not same.grad.any()  # and no NaN of a root at zero
    flat = torch.zeros(1, 3, 32, 32).requires_grad_()
    lite2_distance(photographs[:1], flat).backward()
    assert flat.grad.isfinite().all()


@torch.no_grad()
def test_large_images_are_seen_as_they_are(early, photographs):
    small, large = (F.interpolate(photographs, (side, side), mode="bilinear") for side in (16, 96))
    assert [maps.shape[-1] for maps in early.features(small)] == [24, 12]
    assert [maps.shape[-1] for maps in early.features(large)] == [48, 24]
    with pytest.raises(ValueError, match=r"\(B, 3, H, W\)"):
        lite2_distance(photographs[:, :1], photographs[:, :1])


def test_losses_are_chosen_by_name():
    assert {name: perceptual.perceptual_loss(name, 0.1) for name in LOSSES} == LOSSES
    assert perceptual.perceptual_loss("none", 1.0) is None
    assert [perceptual.perceptual_loss(name, 0.0) for name in LOSSES] == [None] * len(LOSSES)
    with pytest.raises(ValueError, match="unknown perceptual loss 'vgg'"):
        perceptual.perceptual_loss("vgg", 0.0)
