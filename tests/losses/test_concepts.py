"""The concept loss: both forms of it, its least value, its start, and lists that are not full."""

import math

import pytest
import torch
from torch.nn import functional as F

from tesserae.losses.concepts import concept_loss
from tests import golden

CONCEPTS = torch.tensor([[4, 0, 7], [1, 2, 19]])


def test_it_is_the_mean_cross_entropy_of_every_concept():
    logits = golden.seeded_array("logits", (2, 20), 3.0)
    each = F.cross_entropy(logits.repeat_interleave(3, dim=0), CONCEPTS.flatten())
    assert concept_loss(logits, CONCEPTS).item() == pytest.approx(each.item(), rel=1e-6)


def test_it_is_the_cross_entropy_with_equal_masses():
    logits = golden.seeded_array("logits", (2, 20), 3.0)
    masses = torch.zeros(2, 20).scatter_(1, CONCEPTS, 1 / 3)
    assert concept_loss(logits, CONCEPTS).item() == pytest.approx(F.cross_entropy(logits, masses).item(), rel=1e-6)


def test_it_starts_at_the_logarithm_of_the_dictionary():
    assert concept_loss(torch.zeros(2, 24_576), CONCEPTS).item() == pytest.approx(10.1095, abs=1e-4)


def test_it_ends_at_the_logarithm_of_the_set():
    logits = torch.zeros(2, 20).scatter_(1, CONCEPTS, 40.0)
    assert concept_loss(logits, CONCEPTS).item() == pytest.approx(math.log(3), abs=1e-5)
    logits = golden.seeded_array("logits", (2, 20), 3.0).requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.3)
    for _ in range(200):
        optimizer.zero_grad()
        loss = concept_loss(logits, CONCEPTS)
        assert loss.item() >= math.log(3) - 1e-5
        loss.backward()
        optimizer.step()
    assert loss.item() == pytest.approx(math.log(3), abs=0.05)


def test_lists_that_are_not_full():
    logits = golden.seeded_array("logits", (2, 20), 3.0)
    short = torch.tensor([[4, -1, -1], [1, 2, 19]])
    wanted = (F.cross_entropy(logits[:1], torch.tensor([4])) + concept_loss(logits[1:], CONCEPTS[1:])) / 2
    assert concept_loss(logits, short).item() == pytest.approx(wanted.item(), rel=1e-6)
    wider = F.pad(short, (0, 5), value=-1)
    assert concept_loss(logits, wider).item() == pytest.approx(wanted.item(), rel=1e-6)


def test_an_image_without_concepts_pulls_nothing():
    logits = golden.seeded_array("logits", (2, 20)).requires_grad_()
    none = torch.cat([torch.full((1, 3), -1), CONCEPTS[1:]])
    loss = concept_loss(logits, none)
    loss.backward()
    assert loss.item() == pytest.approx(0.5 * concept_loss(logits[1:], CONCEPTS[1:]).item(), rel=1e-6)
    assert not logits.grad[0].any() and logits.grad[1].any()


def test_the_order_of_concepts_is_free():
    logits = golden.seeded_array("logits", (2, 20)).bfloat16()
    loss = concept_loss(logits, CONCEPTS)
    assert loss.dtype == torch.float32
    assert concept_loss(logits, CONCEPTS.flip(1)).item() == pytest.approx(loss.item(), rel=1e-6)
