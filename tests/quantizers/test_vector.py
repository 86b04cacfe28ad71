"""The codebook: official numbers, the nearest entry, whose gradient goes where, and renewal over microbatches."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from tesserae.metrics import codebook
from tesserae.quantizers.vector import VectorQuantizer, codebook_health, nearest, squared_distances, straight_through
from tests import golden

GOLDEN = golden.load("concepttok")["quantizer"]


def filled(size=16, width=4, **changes):
    quantizer = VectorQuantizer(size, width, **({"clustering": True} | changes)).train()
    quantizer.embedding.weight.data = golden.seeded_array("codebook", (size, width))
    return quantizer


def stacked(*microbatches):
    return {name: torch.stack([microbatch[name] for microbatch in microbatches]) for name in microbatches[0]}


@pytest.mark.parametrize("kind", ["plain", "unit"])
def test_official_numbers(kind):
    quantizer = filled(l2=kind == "unit")
    for i, wanted in enumerate(GOLDEN[kind]):
        vectors = golden.seeded_array(f"vectors{i}", (2, 6, 4)).requires_grad_()
        found = quantizer(vectors)
        quantizer.zero_grad()
        pulled = (found.vectors * golden.seeded_array("pull", (2, 6, 4))).sum()
        (0.25 * found.commitment + found.codebook + pulled).backward()
        quantizer.renew(**stacked(quantizer.collected()))
        assert found.codes.tolist() == wanted["codes"]
        assert 0.25 * found.commitment.item() == pytest.approx(wanted["commitment"], rel=1e-5)
        assert found.codebook.item() == pytest.approx(wanted["codebook"], rel=1e-5)
        assert quantizer.embedding.weight.grad.norm().item() == pytest.approx(wanted["entry_gradient"], rel=1e-5)
        for name, tensor in {
            "vectors": found.vectors,
            "gradient": vectors.grad,
            "entries": quantizer.embedding.weight,
            "embed_prob": quantizer.embed_prob,
        }.items():
            torch.testing.assert_close(tensor.detach().flatten(), torch.tensor(wanted[name]), atol=2e-6, rtol=1e-5)


def test_nearest_entries():
    vectors, entries = golden.seeded_array("vectors", (3, 5, 4)), golden.seeded_array("entries", (7, 4))
    wanted = (vectors[:, :, None] - entries).square().sum(dim=3)
    torch.testing.assert_close(squared_distances(vectors, entries), wanted, atol=1e-5, rtol=1e-5)
    assert torch.equal(nearest(vectors, entries), wanted.argmin(dim=2))
    assert nearest(torch.zeros(1, 4), torch.ones(3, 4)).tolist() == [0]  # the first of equals
    quantizer = filled(7, clustering=False)
    quantizer.embedding.weight.data = entries
    codes = quantizer(vectors).codes
    assert torch.equal(quantizer.lookup(codes), entries[codes])
    assert torch.equal(quantizer.eval()(entries[None]).codes[0], torch.arange(7))


def test_distances_are_float32_under_autocast():
    vectors, entries = 100 + 0.1 * golden.seeded_array("vectors", (9, 4)), 100 + 0.1 * golden.seeded_array("e", (7, 4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, quantized = squared_distances(vectors, entries), filled()(vectors[None])
    assert torch.equal(found, squared_distances(vectors, entries))
    assert {x.dtype for x in quantized} == {torch.float32, torch.int64}


def test_gradients_go_straight_through():
    vectors, chosen = torch.randn(3, 4, requires_grad=True), torch.randn(3, 4, requires_grad=True)
    out = straight_through(vectors, chosen)
    torch.testing.assert_close(out, chosen)
    out.backward(torch.full((3, 4), 2.0))
    assert (vectors.grad == 2).all() and chosen.grad is None


def test_each_loss_pulls_its_own_side():
    quantizer, vectors = filled(), golden.seeded_array("vectors", (2, 6, 4)).requires_grad_()
    entries = quantizer.embedding.weight
    found = quantizer(vectors)
    found.commitment.backward(retain_graph=True)
    assert vectors.grad.any() and entries.grad is None
    vectors.grad = None
    found.codebook.backward()
    assert vectors.grad is None
    assert set(entries.grad.any(dim=1).nonzero().flatten().tolist()) == set(found.codes.flatten().tolist())
    mean = (entries[found.codes] - vectors).square().mean()
    assert found.commitment.item() == found.codebook.item() == pytest.approx(mean.item(), rel=1e-5)


# ---- renewal ----------------------------------------------------------------------------------------------------


def test_two_shares_are_one_of_twice_the_size():
    whole, halves = filled(), filled()
    for i in range(3):
        vectors = golden.seeded_array(f"step{i}", (4, 6, 4))
        whole(vectors)
        whole.renew(**stacked(whole.collected()))
        microbatches = []
        for half in vectors.split(2):
            halves(half)
            microbatches.append(halves.collected())
        halves.renew(**stacked(*microbatches))
        torch.testing.assert_close(halves.embed_prob, whole.embed_prob, atol=0, rtol=1e-6)
        torch.testing.assert_close(halves.embedding.weight, whole.embedding.weight, atol=1e-6, rtol=1e-6)
    other = filled()  # one microbatch alone is another result
    other(vectors[:2])
    other.renew(**stacked(other.collected()))
    assert not torch.allclose(other.embedding.weight, whole.embedding.weight, atol=1e-2)


def test_unused_entries_move_to_their_closest_vector():
    quantizer = filled(3, 2)
    quantizer.embedding.weight.data = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    vectors = torch.tensor([[[0.1, 0.0], [0.0, 0.2], [0.0, -0.1]]])
    quantizer(vectors)
    collected = stacked(quantizer.collected())
    assert collected["counts"].tolist() == [[3, 0, 0]]
    quantizer.renew(**collected)
    torch.testing.assert_close(quantizer.embed_prob, torch.tensor([0.01, 0.0, 0.0]))
    moved = math.exp(-1e-3)  # of entries that were never chosen
    wanted = torch.tensor([[0.0, 0.0], [0.1, 0.0], [0.0, 0.2]])
    wanted[1:] = moved * wanted[1:] + (1 - moved) * torch.tensor([[10.0, 0.0], [0.0, 10.0]])
    torch.testing.assert_close(quantizer.embedding.weight.data[1:], wanted[1:], atol=1e-5, rtol=0)
    used = math.exp(-0.01 * 3 * 10 / 0.01 - 1e-3)  # 1e-13: an entry in use stays
    assert quantizer.embedding.weight[0].abs().max().item() <= used


def test_equally_close_vectors_of_two_shares():
    quantizer = filled(2, 2)
    entries = quantizer.embedding.weight.data = torch.tensor([[5.0, 0.0], [0.0, 0.0]])
    microbatches = []
    for x in (1.0, -1.0):  # at the same distance from the second entry
        quantizer(torch.tensor([[[0.0, x]]]))
        microbatches.append(quantizer.collected())
    quantizer.renew(**stacked(*microbatches))
    assert entries[0, 1].item() == pytest.approx(math.exp(-1e-3))  # the first microbatch's


def test_nothing_is_collected_but_in_training_with_clustering():
    vectors = golden.seeded_array("vectors", (2, 6, 4))
    for quantizer in (filled().eval(), filled(clustering=False)):
        quantizer(vectors)
        assert quantizer.collected() == {}
    assert "embed_prob" in filled().state_dict() and "embed_prob" not in filled(clustering=False).state_dict()


def test_initialisation():
    weight = VectorQuantizer(512, 8, clustering=False).embedding.weight
    assert weight.abs().max().item() <= 1 / 512 and weight.std().item() == pytest.approx(1 / 512 / 3**0.5, rel=0.05)
    assert isinstance(weight, nn.Parameter)


# ---- health -----------------------------------------------------------------------------------------------------


def test_health_of_known_counts():
    assert codebook.health(np.array([5, 5, 5, 5])) == {
        "usage": 1.0,
        "perplexity": pytest.approx(4),
        "dead_codes": 0,
        "entropy_bits": pytest.approx(2),
    }
    assert codebook.health(np.array([0, 7, 0, 0])) == {
        "usage": 0.25,
        "perplexity": 1.0,
        "dead_codes": 3,
        "entropy_bits": 0.0,
    }
    assert codebook.entropy_bits(np.array([2, 1, 1, 0])) == pytest.approx(1.5)
    for counts in ([0, 0], [3, -1]):
        with pytest.raises(ValueError, match="counts"):
            codebook.health(np.array(counts))


def test_health_of_a_batch_agrees_with_that_of_its_counts():
    codes = torch.from_numpy(np.random.default_rng(0).geometric(0.2, (8, 16)).clip(max=40))
    found = codebook_health(codes, 50)
    counts = np.bincount(codes.numpy().ravel(), minlength=50)
    assert found["usage"].item() == pytest.approx(codebook.usage(counts))
    assert found["perplexity"].item() == pytest.approx(codebook.perplexity(counts), rel=1e-5)
