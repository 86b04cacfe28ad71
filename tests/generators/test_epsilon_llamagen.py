"""Epsilon-LlamaGen: parity with the official code, sizes, which tokens it learns, whose samples are whose."""

from unittest import mock

import pytest
import torch

from tesserae.generators import velocity_head
from tesserae.generators.epsilon_llamagen import build
from tesserae.generators.epsilon_llamagen_sampler import generate, sample
from tesserae.generators.epsilon_llamagen_weights import load_official
from tests import golden

GOLDEN = golden.load("epsilon_llamagen")
TINY = {
    "token_length": 7,
    "token_width": 3,
    "first_tokens": 5,
    "classes": 4,
    "width": 32,
    "blocks": 2,
    "heads": 2,
    "dropout": 0.0,
    "label_dropout": 0.1,
    "head": {"width": 24, "blocks": 2, "batch_multiplier": 2},
}
SETTINGS = {"guidance_schedule": "linear", "flow_steps": 6, "temperature": 1.0}
LABELS = torch.tensor([0, 3, 2])


def official():
    model = build(TINY).eval()
    state = golden.state_by_name(GOLDEN["keys"], GOLDEN["fill_scale"])
    load_official(model, {"_orig_mod." + name.replace("layers.", "layers._orig_mod."): x for name, x in state.items()})
    return model


@torch.no_grad()
def test_official_conditions_and_loss():
    model, tokens = official(), golden.seeded_array("tokens", (3, 5, 3))
    z = model.conditions(tokens, LABELS)
    golden.assert_golden(z, GOLDEN["conditions"])
    t, noise = golden.seeded_array("times", (30,)).sigmoid(), golden.seeded_array("noise", (30, 3))
    with (
        mock.patch.object(velocity_head, "draw_uniform_times", lambda *_: t),
        mock.patch.object(velocity_head, "draw_noise", lambda *_: noise),
    ):
        found = model.diffloss(z.flatten(0, 1), tokens.flatten(0, 1), torch.Generator())
    assert found.item() == pytest.approx(GOLDEN["velocity"], rel=1e-5)


@torch.no_grad()
def test_official_samples_with_guidance():
    noise = golden.seeded_array("drawn", (3, 5, 8, 3))
    found = generate(official(), LABELS, noise, guidance=3.0, guidance_schedule="linear", temperature=1.0)
    golden.assert_golden(found, GOLDEN["sampled"], tolerance=1e-4)


def test_published_sizes():
    paper = TINY | {"token_length": 256, "token_width": 16, "first_tokens": 32, "classes": 1000, "width": 1024}
    head = {"width": 1536, "blocks": 12, "batch_multiplier": 4}
    with torch.device("meta"):
        model = build(paper | {"blocks": 24, "heads": 16, "head": head})
    assert sum(p.numel() for p in model.parameters()) == 488_566_800
    assert sum(p.numel() for p in model.diffloss.parameters()) == 179_125_264


@torch.no_grad()
def test_a_token_is_drawn_from_those_before_it():
    model, tokens = official(), torch.randn(1, 5, 3, generator=torch.Generator().manual_seed(0))
    before = model.conditions(tokens, LABELS[:1])
    tokens[0, 2] += 1
    changed = (model.conditions(tokens, LABELS[:1]) - before).abs().amax(-1)[0] > 1e-6
    assert changed.tolist() == [False, False, False, True, True]


def test_only_the_first_tokens_are_learned():
    model = official().train()
    tokens = torch.randn(4, 7, 3, generator=torch.Generator().manual_seed(0))
    batch = {"tokens": tokens, "labels": torch.zeros(4, dtype=torch.int64)}
    losses = []
    for change in (0, 1):
        batch["tokens"] = tokens + change * (torch.arange(7) >= 5)[:, None]
        ((_, terms),) = model.losses(batch, 0, torch.Generator().manual_seed(1))
        losses.append(terms["velocity"].item())
    assert losses[0] == losses[1]


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_samples_are_their_seeds_and_the_rest_is_absent(guidance):
    model, seeds = official(), [5, 6, 7]
    together = sample(model, LABELS, seeds=seeds, guidance=guidance, **SETTINGS)
    assert together.shape == (3, 7, 3)
    assert together[:, :5].isfinite().all() and together[:, 5:].isnan().all()
    alone = sample(model, LABELS[1:2], seeds=[6], guidance=guidance, **SETTINGS)
    torch.testing.assert_close(alone, together[1:2], rtol=1e-4, atol=1e-4, equal_nan=True)


def test_more_tokens_than_there_are():
    with pytest.raises(ValueError, match="the first 8 of 7 tokens"):
        build(TINY | {"first_tokens": 8})
