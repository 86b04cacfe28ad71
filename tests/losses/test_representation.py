"""Alignment of hidden states with a frozen network's features."""

import pytest
import torch

from tesserae.losses.representation import projector, representation_loss


def test_one_minus_the_mean_cosine():
    a = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])
    b = torch.tensor([[[3.0, 0.0], [1.0, 0.0]]])
    assert representation_loss(a, b).item() == pytest.approx(0.5)
    assert representation_loss(a, 7 * a).item() == pytest.approx(0.0, abs=1e-6)
    assert representation_loss(a.half(), b).dtype == torch.float32


def test_another_grid_is_refused():
    with pytest.raises(ValueError, match=r"features are \(4, 6\) \(patches, values\), and \(9, 6\) are aligned"):
        representation_loss(torch.zeros(2, 9, 6), torch.zeros(2, 4, 6))


def test_three_layers():
    model = projector(5, 7, 3)
    assert model(torch.randn(2, 4, 5)).shape == (2, 4, 3)
    assert sum(p.numel() for p in model.parameters()) == 5 * 7 + 7 + 7 * 7 + 7 + 7 * 3 + 3
