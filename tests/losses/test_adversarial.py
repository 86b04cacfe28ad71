"""PatchGAN and hinge loss: the official numbers, and who gets which gradient."""

import pytest
import torch

from tesserae.losses.adversarial import (
    PatchDiscriminator,
    adaptive_weight,
    discriminator_loss,
    generator_loss,
    hinge_loss,
    init_pix2pix,
)
from tests import golden

GOLDEN = golden.load("detok")["discriminator"]


def filled():
    network = PatchDiscriminator(16, 2)
    assert {name: list(p.shape) for name, p in network.named_parameters()} == GOLDEN["keys"]
    golden.fill_by_name(network)
    return network


def test_official_numbers():
    network = filled()
    real, fake = golden.seeded_array("real", (4, 3, 32, 32)), golden.seeded_array("fake", (4, 3, 32, 32), 0.8)
    logits = network(real).flatten().double()
    assert logits[torch.linspace(0, len(logits) - 1, 32).long()].tolist() == pytest.approx(
        GOLDEN["logits"]["values"], rel=1e-4, abs=1e-5
    )
    assert discriminator_loss(network, real, fake).item() == pytest.approx(GOLDEN["hinge"], rel=1e-5)
    assert generator_loss(network, fake).item() == pytest.approx(GOLDEN["generator"], rel=1e-4)


def test_published_size():
    with torch.device("meta"):
        network = PatchDiscriminator(64, 3)
    assert sum(p.numel() for p in network.parameters()) == 2_765_633


@pytest.mark.parametrize(("side", "channels", "layers"), [(32, 16, 2), (32, 64, 3), (64, 8, 4), (32, 8, 1)])
def test_logits_are_one_map(side, channels, layers):
    logits = PatchDiscriminator(channels, layers)(torch.rand(2, 3, side, side))
    assert logits.shape == (2, 1, side // 2**layers - 2, side // 2**layers - 2)


def test_hinge_loss_on_known_logits():
    real, fake = torch.tensor([2.0, 0.0, -1.0]), torch.tensor([-2.0, 0.0, 1.0])
    assert hinge_loss(real, fake).item() == pytest.approx(0.5 * ((0 + 1 + 2) / 3 + (0 + 1 + 2) / 3))
    assert hinge_loss(torch.tensor([1.0]), torch.tensor([-1.0])).item() == 0


def test_generator_loss_reaches_images_only():
    network, fake = filled(), torch.rand(2, 3, 32, 32, requires_grad=True)
    loss = generator_loss(network, fake)
    assert all(p.requires_grad for p in network.parameters())
    loss.backward()
    assert fake.grad.any() and all(p.grad is None for p in network.parameters())


def test_discriminator_loss_reaches_the_discriminator_only():
    network = filled()
    real, fake = torch.rand(2, 3, 32, 32, requires_grad=True), torch.rand(2, 3, 32, 32, requires_grad=True)
    discriminator_loss(network, real, fake).backward()
    assert real.grad is None and fake.grad is None
    assert all(p.grad is not None for p in network.parameters())


def test_pix2pix_initialisation():
    network = PatchDiscriminator(64, 3)
    bias = network.main[0].bias.clone()
    init_pix2pix(network)
    convolutions, norms = network.main[5], network.main[6]
    assert convolutions.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert (norms.weight.mean().item(), norms.weight.std().item()) == pytest.approx((1, 0.02), abs=0.004)
    assert not norms.bias.any() and torch.equal(network.main[0].bias, bias)


def test_adaptive_weight_is_the_ratio_of_gradients_at_one_layer():
    layer = torch.nn.Linear(1, 1, bias=False)
    output = layer(torch.tensor([[2.0]]))  # d output / d weight = 2
    fidelity, loss = (3 * output).sum(), (-0.5 * output).sum()
    weight = adaptive_weight(fidelity, loss, layer.weight, 1e4)
    assert weight.item() == pytest.approx(6 / (1 + 1e-4)) and not weight.requires_grad
    assert adaptive_weight(fidelity, loss, layer.weight, 5.0).item() == 5
    assert adaptive_weight(fidelity, 0 * loss, layer.weight, 1e8).item() == pytest.approx(6e4)
    (fidelity + weight * loss).backward()  # the graphs are still there
    assert layer.weight.grad.item() == pytest.approx(6 - weight.item())
