"""MaskGIT with a diffusion head: sizes, what is read and what is drawn, and that samples are their seeds' alone."""

import pytest
import torch

from tesserae.generators.emaskgit import build
from tesserae.generators.emaskgit_sampler import masked_after, sample
from tests import golden

HEAD = {"width": 16, "blocks": 1, "batch_multiplier": 2, "steps": 50, "schedule": "cosine"}
TINY = {
    "token_length": 9,
    "token_width": 3,
    "classes": 4,
    "width": 16,
    "blocks": 2,
    "heads": 2,
    "dropout": 0.0,
    "label_dropout": 0.1,
    "diffloss": HEAD,
}
SETTINGS = {"guidance_schedule": "linear", "steps": 4, "diffusion_steps": 3, "temperature": 1.0, "x0_limit": 5.0}


def filled():
    model = build(TINY).eval()
    golden.fill_by_name(model, 0.2)
    return model


def test_sizes():
    paper = TINY | {"token_length": 256, "token_width": 16, "classes": 1000, "width": 1024, "blocks": 24, "heads": 16}
    head = {"width": 1536, "blocks": 12, "batch_multiplier": 4, "steps": 1000, "schedule": "cosine"}
    with torch.device("meta"):
        model = build(paper | {"diffloss": head})
    of_head = sum(p.numel() for p in model.diffloss.parameters())
    assert of_head == 150_813_728 and sum(p.numel() for p in model.parameters()) - of_head == 303_882_240


@torch.no_grad()
def test_what_is_masked_is_not_read_and_all_else_is():
    model, rng = filled(), torch.Generator().manual_seed(0)
    tokens, labels = torch.randn(2, 9, 3, generator=rng), torch.tensor([0, 3])
    masked = torch.arange(9).expand(2, -1) % 2 == 0
    before = model.conditions(tokens, masked, labels)
    assert torch.equal(before, model.conditions(tokens.masked_fill(masked[..., None], 7.0), masked, labels))
    for change in (
        model.conditions(tokens + ~masked[..., None], masked, labels),
        model.conditions(tokens, masked, labels + 1),
    ):
        assert ((change - before).abs().amax(-1) > 1e-4).all()


def test_the_loss_is_that_of_masked_tokens_alone():
    model, rng = filled().train(), torch.Generator().manual_seed(0)
    batch = {"tokens": torch.randn(40, 9, 3, generator=rng), "labels": torch.zeros(40, dtype=torch.int64)}
    seen = []
    model.diffloss.register_forward_pre_hook(lambda head, given: seen.append(given[1]))
    ((_, terms),) = model.losses(batch, 0, torch.Generator().manual_seed(1))
    sum(terms.values()).backward()
    (targets,) = seen
    assert {tuple(row) for row in targets.tolist()} <= {tuple(row) for row in batch["tokens"].flatten(0, 1).tolist()}
    assert 0.5 < len(targets) / 360 < 0.8  # 2 / pi of them, on average
    assert (
        model.class_emb.weight.grad[4].any() and not model.class_emb.weight.grad[1].any()
    )  # of some the class is dropped


def test_every_step_draws_something_and_the_last_one_the_rest():
    counts = masked_after(256, 64)
    assert counts[0] == 255 and counts[31] == 181 and counts[-1] == 1
    assert all(before > after for before, after in zip([256, *counts[:-1]], counts, strict=True))


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_samples_are_their_seeds_and_labels(guidance):
    model, labels, seeds = filled(), torch.tensor([0, 1, 3]), [5, 6, 7]
    together = sample(model, labels, seeds=seeds, guidance=guidance, **SETTINGS)
    assert together.shape == (3, 9, 3) and together.isfinite().all()
    alone = sample(model, labels[1:2], seeds=[6], guidance=guidance, **SETTINGS)
    torch.testing.assert_close(alone, together[1:2], rtol=1e-4, atol=1e-4)
    other = sample(model, labels, seeds=[5, 8, 7], guidance=guidance, **SETTINGS)
    assert torch.allclose(other[0], together[0], atol=1e-4) and not torch.allclose(other[1], together[1], atol=1e-2)


def test_seeds_and_labels_go_together():
    with pytest.raises(ValueError, match="1 seeds for 2 labels"):
        sample(filled(), torch.tensor([0, 1]), seeds=[1], guidance=1.0, **SETTINGS)
