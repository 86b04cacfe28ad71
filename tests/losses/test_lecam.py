"""TiTok's discriminator and LeCam: official numbers, sizes, running means."""

import pytest
import torch
from torch import nn

from tesserae.losses.adversarial import hinge_loss
from tesserae.losses.blur_discriminator import Blur, BlurDiscriminator
from tesserae.losses.lecam import LeCam
from tests import golden

STEP = golden.load("concepttok")["step"]


def filled():
    network = BlurDiscriminator(32, 3)
    golden.fill_by_name(network, 0.1)
    return network


def pixels():
    return (
        golden.seeded_array("pixels", (2, 3, 128, 128), 0.2) + golden.seeded_array("colours", (2, 3, 1, 1), 0.5) + 0.5
    )


@torch.no_grad()
def test_official_logits():
    logits = filled()(pixels())
    assert logits.shape == (2, 1, 16, 16)
    torch.testing.assert_close(logits.flatten()[::17], torch.tensor(STEP["logits"]), atol=2e-5, rtol=1e-5)


def test_published_size():
    with torch.device("meta"):
        network = BlurDiscriminator(128, 3)
    assert sum(p.numel() for p in network.parameters()) == 1_909_889
    assert [list(block[0].weight.shape[:2]) for block in network.blocks] == [[128, 128], [256, 128], [512, 256]]


@pytest.mark.parametrize(("side", "channels", "layers", "out"), [(32, 16, 2, 4), (16, 8, 3, 2), (256, 4, 3, 16)])
def test_logits_are_one_map(side, channels, layers, out):
    network = BlurDiscriminator(channels, layers)
    assert network(torch.rand(2, 3, side, side)).shape == (2, 1, out, out)
    assert network.blocks[-1][2].num_groups == channels * 2 ** (layers - 1)
    assert BlurDiscriminator(64, 1).blocks[0][2].num_groups == 32


def test_blur_halves_and_keeps_the_mean():
    for side in (8, 7):
        assert Blur()(torch.rand(1, 2, side, side)).shape == (1, 2, 4, 4)
    x = torch.zeros(1, 2, 8, 8)
    x[0, 0, 3, 3] = 64.0  # rows and columns 1 and 2 of the output see it, with the weights 3 and 1
    blurred = Blur()(x)
    assert blurred[0, 0, :3, :3].tolist() == [[0, 0, 0], [0, 9, 3], [0, 3, 1]]
    assert not blurred[0, 1].any()
    flat = Blur()(torch.ones(1, 1, 8, 8))[0, 0, 1:-1, 1:-1]
    torch.testing.assert_close(flat, torch.ones(2, 2))


def test_term_by_hand():
    lecam = LeCam().eval()
    lecam.real.fill_(0.5)
    lecam.fake.fill_(-0.2)
    real, fake = torch.tensor([1.0, 0.0]), torch.tensor([0.4, -0.6])
    assert lecam(real, fake).item() == pytest.approx((0.5 + 0.2) ** 2 + (0.5 + 0.1) ** 2)
    assert lecam(real - 2, fake + 2).item() == 0  # both on the harmless side
    assert (lecam.real.item(), lecam.fake.item()) == pytest.approx((0.5, -0.2))  # evaluation moves nothing


def test_means_move_after_use():
    lecam, real, fake = LeCam().train(), torch.tensor([2.0, 4.0]), torch.tensor([-1.0])
    assert lecam(real, fake).item() == pytest.approx(3**2 + 1**2)  # by the means before this batch: 0
    assert (lecam.real.item(), lecam.fake.item()) == pytest.approx((0.003, -0.001))
    assert set(lecam.state_dict()) == {"real", "fake"}


def test_gradient_is_that_of_the_logits():
    lecam, real = LeCam().train(), nn.Parameter(torch.tensor([2.0, 4.0]))
    fake = nn.Parameter(torch.tensor([1.0]))
    (lecam(real, fake) + hinge_loss(real, fake)).backward()
    assert real.grad.tolist() == [3.0, 3.0]  # 2 * 3 / 2 each, and nothing of the hinge beyond its margin
    assert fake.grad.tolist() == [0.5]  # the hinge alone: no real image is below the usual one
