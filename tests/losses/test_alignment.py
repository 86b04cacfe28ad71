"""The vision-foundation loss: official numbers, margins, invariances."""

import pytest
import torch

from tesserae.losses.alignment import marginal_cosine, marginal_distance_matrix
from tests import golden

GOLDEN = golden.load("va_vae")["alignment"]
LOSSES = {"cosine": (marginal_cosine, 0.5), "distance": (marginal_distance_matrix, 0.25)}


def maps():
    features = golden.seeded_array("features", (2, 112, 8, 8))
    return golden.seeded_array("projected", (2, 112, 8, 8)) + 0.7 * features, features


@pytest.mark.parametrize("name", LOSSES)
def test_official_numbers(name):
    loss, margin = LOSSES[name]
    assert loss(*maps(), margin).item() == pytest.approx(GOLDEN[f"{name}_margins"], rel=1e-4)
    assert loss(*maps(), 0.0).item() == pytest.approx(GOLDEN[f"{name}_none"], rel=1e-4)


@pytest.mark.parametrize("name", LOSSES)
def test_no_loss_for_features_of_any_length(name):
    _, features = maps()
    lengths = torch.rand(2, 1, 8, 8) + 0.1
    assert LOSSES[name][0](lengths * features, features, 0.0).item() == pytest.approx(0, abs=1e-6)


def test_known_cosines():
    east, north = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1), torch.tensor([0.0, 1.0]).view(1, 2, 1, 1)
    assert marginal_cosine(east, north, 0.0).item() == pytest.approx(1)
    assert marginal_cosine(east, north, 0.5).item() == pytest.approx(0.5)
    assert marginal_cosine(east, -east, 0.5).item() == pytest.approx(1.5)
    alike, apart = torch.cat([east, east], dim=3), torch.cat([east, north], dim=3)  # two positions each
    assert marginal_distance_matrix(alike, apart, 0.0).item() == pytest.approx(2 / 4)  # 2 of 4 pairs differ, by 1
    assert marginal_distance_matrix(alike, apart, 0.25).item() == pytest.approx(2 / 4 * 0.75)


def test_distances_ignore_a_rotation_that_cosines_see():
    _, features = maps()
    rotation = torch.linalg.qr(golden.seeded_array("rotation", (112, 112)))[0]
    turned = torch.einsum("fg,bghw->bfhw", rotation, features)
    assert marginal_distance_matrix(turned, features, 0.0).item() == pytest.approx(0, abs=1e-5)
    assert marginal_cosine(turned, features, 0.0).item() > 0.5
