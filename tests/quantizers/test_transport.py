"""Vector rounding by optimal transport: plans with a known answer, balance, gradients of the common map."""

import pytest
import torch
from torch.nn import functional as F

from tesserae.quantizers.transport import TransportQuantizer, transported


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def quantizer(size=16, width=4):
    torch.manual_seed(0)
    made = TransportQuantizer(size, width)
    torch.nn.init.normal_(made.embedding)
    return made


def some_vectors(batch=8, count=6, width=4):
    return torch.randn(batch, count, width, generator=seeded())


def test_the_official_plan_in_double_precision():
    """As it is written there: entries by vectors, scaled in place."""
    distances = torch.rand(12, 5, generator=seeded(), dtype=torch.float64)
    plan = torch.exp(-10 * (distances - distances.min())).T.clone()
    plan /= plan.sum()
    for _ in range(5):
        plan /= plan.sum(dim=1, keepdim=True) * 5
        plan /= plan.sum(dim=0, keepdim=True) * 12
    assert transported(distances).tolist() == plan.argmax(dim=0).tolist()


def test_equal_distances_and_a_permutation():
    cheap = torch.full((4, 4), 2.0)
    order = torch.tensor([2, 0, 3, 1])
    cheap[torch.arange(4), order] = 0.0
    assert torch.equal(transported(cheap), order)
    assert torch.equal(transported(cheap + 1e3), order)  # a common distance changes nothing


def test_a_crowd_is_spread_over_all_entries():
    """All vectors are nearest to one entry, some more clearly than others: with a plan all entries are used."""
    crowd = 0.1 * torch.rand(64, 8, generator=seeded())
    crowd[:, 1:] += 0.3
    assert crowd.argmin(dim=1).unique().tolist() == [0]
    used = transported(crowd).bincount(minlength=8)
    assert (used > 0).all() and used.max() <= 16


@torch.no_grad()
def test_nearest_entries_by_themselves_and_balanced_ones_together():
    made, vectors = quantizer(), some_vectors()
    made.shared_linear.weight.mul_(-3)  # the map moves every entry
    entries = made.entries()
    torch.testing.assert_close(entries, F.normalize(-3 * made.embedding[0], dim=1))
    found = made(vectors)
    cosine = F.cosine_similarity(vectors[:, :, None], entries[None, None], dim=3)
    assert torch.equal(found.codes, cosine.argmax(dim=2))
    torch.testing.assert_close(found.vectors, made.lookup(found.codes))
    assert torch.equal(made(vectors[:2]).codes, found.codes[:2])  # whatever the batch
    balanced = made(vectors, balanced=True)
    assert balanced.codes.unique().numel() >= found.codes.unique().numel()
    assert not torch.equal(balanced.codes, found.codes) and balanced.commitment > found.commitment


def test_losses_and_gradients():
    made, vectors = quantizer(), some_vectors().requires_grad_()
    found = made(vectors, balanced=True)
    away = (F.normalize(vectors, dim=2) - made.lookup(found.codes)).square().mean()
    assert found.commitment.item() == found.codebook.item() == pytest.approx(away.item(), rel=1e-5)
    found.codebook.backward()
    assert vectors.grad is None and made.shared_linear.weight.grad.any() and made.shared_linear.bias.grad.any()
    moved = made.embedding.grad[0].any(dim=1)
    assert torch.equal(moved.nonzero()[:, 0], found.codes.unique())  # others move with the common map
    found.commitment.backward()
    assert vectors.grad.any()
    made.zero_grad()
    made(vectors, balanced=True).vectors.sum().backward()
    assert made.embedding.grad is None


def test_starts_as_a_plain_codebook_and_is_float32_under_autocast():
    made = TransportQuantizer(32, 4)
    torch.testing.assert_close(made.entries(), F.normalize(made.embedding[0], dim=1))
    assert made.embedding.abs().max() <= 1 / 32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = quantizer()(some_vectors().bfloat16(), balanced=True)
    assert found.vectors.dtype == found.codebook.dtype == torch.float32
