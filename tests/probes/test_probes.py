"""The probe of COMiT's Table 6: its size, what it reads, when it is right, and how it is trained."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tesserae.probes import fit, tasks
from tesserae.probes.transformer import TransformerProbe, build, packed

SMALL = {"tokens": 5, "token_width": 3, "outputs": 4, "width": 8, "blocks": 2, "heads": 2, "dropout": 0.0}


@pytest.mark.parametrize(
    ("more", "parameters"),
    [
        ({"outputs": 100, "width": 768}, 14_459_236),
        ({"outputs": 90, "width": 768}, 14_451_546),
        ({"outputs": 1, "width": 64, "phrase_width": 768}, 265_281),
    ],
)
def test_sizes_of_the_three_probes_on_256_tokens_of_6_values(more, parameters):
    with torch.device("meta"):
        probe = build({"tokens": 256, "token_width": 6, "blocks": 2, "heads": 8, "dropout": 0.1} | more)
    assert sum(parameter.numel() for parameter in probe.parameters()) == parameters


def test_every_parameter_learns():
    torch.manual_seed(0)
    probe = TransformerProbe(**SMALL | {"outputs": 1, "phrase_width": 6})
    tokens, phrases = torch.randn(2, 5, 3), torch.randn(2, 4, 3, 6)
    there = torch.tensor([[True] * 5, [True, False, True, False, True]])
    logits = probe(tokens, there, phrases)
    assert logits.shape == (2, 4)
    logits.square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in probe.parameters())


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.booleans(), min_size=5, max_size=5).filter(any), min_size=1, max_size=4))
def test_what_an_image_lacks_is_not_read_and_places_keep_their_meaning(there):
    torch.manual_seed(0)
    probe, there = TransformerProbe(**SMALL).eval(), torch.tensor(there)
    tokens = torch.randn(len(there), 5, 3)
    logits = probe(tokens, there)
    assert torch.allclose(probe(tokens + 100 * ~there[..., None], there), logits, atol=1e-5)
    alone = torch.cat([probe(tokens[i : i + 1], there[i : i + 1]) for i in range(len(there))])
    assert torch.allclose(alone, logits, atol=1e-5)  # whatever stands beside it in a batch
    full = there.all(dim=1)
    if full.any():
        assert torch.allclose(probe(tokens[full]), logits[full], atol=1e-5)
    moved, kept = packed(tokens, there)
    assert moved.shape[1] == there.sum(dim=1).max() and (kept.sum(dim=1) == there.sum(dim=1)).all()
    for row, some, tokens_of in zip(moved, there, tokens, strict=True):
        assert torch.equal(row[: some.sum()], tokens_of[some])


def test_candidates_are_judged_one_by_one_and_by_their_roles():
    torch.manual_seed(0)
    probe = TransformerProbe(**SMALL | {"outputs": 1, "phrase_width": 6}).eval()
    tokens, phrases = torch.randn(2, 5, 3), torch.randn(2, 4, 3, 6)
    logits = probe(tokens, None, phrases)
    assert torch.allclose(probe(tokens, None, phrases[:, [2, 0]]), logits[:, [2, 0]], atol=1e-6)
    swapped = probe(tokens, None, phrases[:, :, [2, 1, 0]])
    assert (swapped - logits).abs().min() > 1e-4
    assert (probe(tokens.roll(1, dims=0), None, phrases) - logits).abs().max() > 1e-4


# ---- when it is right -------------------------------------------------------------------------------------------


def test_answers_of_each_task():
    logits = torch.tensor([[3.0, 2.0, 1.0, 0.0], [0.0, 1.0, 2.0, 3.0]])
    assert tasks.hits("classes", logits, torch.tensor([0, 0])).tolist() == [True, False]
    pairs = torch.tensor([[1, 0, 1, 0], [1, 0, 1, 0]])
    assert tasks.hits("pairs", logits, pairs).tolist() == [True, False]  # among the top 3 of few categories
    assert tasks.hits("relations", logits, torch.zeros(2)).tolist() == [True, False]
    assert (tasks.top_of(29), tasks.top_of(30), tasks.top_of(90)) == (3, 5, 5)


def test_equal_logits_are_no_answer():
    level = torch.zeros(3, 8)
    assert not tasks.hits("relations", level, torch.zeros(3)).any()
    assert not tasks.hits("classes", level, torch.zeros(3, dtype=torch.int64)).any()


def test_chance_is_what_can_be_right_without_an_image():
    train, val = torch.tensor([0, 1, 1, 2]), torch.tensor([1, 1, 0, 2])
    assert tasks.chance("classes", train, val, 3) == pytest.approx(50)
    assert tasks.chance("relations", train, val, 8) == 12.5
    rng, pairs = np.random.default_rng(0), torch.zeros(4000, 9, dtype=torch.int64)
    for row in pairs:
        row[rng.choice(8, 2, replace=False)] = 1  # one of nine categories never occurs
    drawn = torch.from_numpy(rng.random((4000, 9))).index_fill(1, torch.tensor([8]), -1.0)
    by_drawing = 100 * tasks.hits("pairs", drawn, pairs).double().mean().item()
    assert tasks.chance("pairs", pairs, pairs, 9) == pytest.approx(100 * 6 / 56) == pytest.approx(by_drawing, abs=1.5)


def test_losses_fall_where_answers_are_better():
    better, worse = torch.tensor([[4.0, 0.0, 0.0]]), torch.tensor([[0.0, 4.0, 0.0]])
    for task, answers in (
        ("classes", torch.tensor([0])),
        ("relations", torch.tensor([0])),
        ("pairs", torch.tensor([[1, 0, 1]])),
    ):
        assert tasks.loss(task, better, answers) < tasks.loss(task, worse, answers)
    level = torch.zeros(1, 16)
    assert tasks.loss("relations", level, torch.zeros(1)).item() == pytest.approx(np.log(16))


# ---- training ---------------------------------------------------------------------------------------------------


def asking(labels: np.ndarray, seed: int) -> fit.Ask:
    """The class of an image stands in the first value of its tokens, with noise."""
    rng = np.random.default_rng(seed)
    tokens = torch.from_numpy(rng.normal(size=(len(labels), 5, 3)).astype(np.float32))
    tokens[:, :, 0] += 2.0 * torch.from_numpy(labels)[:, None]

    def ask(rows: np.ndarray, _: np.random.Generator):
        return (tokens[rows], None, None), torch.from_numpy(labels[rows])

    return ask


def trained(**more) -> fit.Fitted:
    labels = np.arange(120) % 4
    ask = asking(labels, 0), asking(labels[:60], 1)
    settings = {
        "batch": 32,
        "epochs": 12,
        "patience": 12,
        "lr": 3e-3,
        "weight_decay": 0.01,
        "seed": 0,
        "precision": "fp32",
    }
    torch.manual_seed(0)
    probe = TransformerProbe(**SMALL | {"dropout": 0.1})
    fitted = fit.fit(probe, "classes", 120, 60, ask, fit.Settings(**settings | more), "probe/it")
    probe.load_state_dict(fitted.weights)
    assert np.array_equal(
        fit.evaluate(probe, "classes", 60, ask[1], fit.Settings(**settings)), fitted.hits[fitted.best]
    )
    return fitted


def test_a_probe_learns_and_its_best_epoch_is_kept():
    fitted = trained()
    right = fitted.hits.sum(axis=1)
    assert right[fitted.best] == right.max() and fitted.best == right.argmax() and right.max() > 40
    assert fitted.losses[-1] < fitted.losses[0]
    again = trained()
    assert all(torch.equal(again.weights[name], tensor) for name, tensor in fitted.weights.items())


def test_it_stops_when_no_epoch_is_better():
    fitted = trained(lr=0.0, patience=3, epochs=50)
    assert fitted.best == 0 and len(fitted.losses) == 4 == len(fitted.hits)


def test_a_loss_that_is_not_finite_stops_it():
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, tokens, there, phrases):
            return tokens[:, 0] * self.weight * torch.inf

    ask = asking(np.zeros(8, np.int64), 0)
    settings = fit.Settings(4, 1, 1, 1e-3, 0.0, 0, "fp32")
    with pytest.raises(FloatingPointError, match=r"probe/it: the loss of epoch 1 is .* set a smaller lr"):
        fit.fit(Broken(), "classes", 8, 8, (ask, ask), settings, "probe/it")


def test_held_out_counts_other_images_than_those_that_choose():
    hits = np.zeros((2, 40), bool)
    order = np.random.default_rng(3).permutation(40)
    hits[0, order[:20]] = True  # each epoch is right on one half alone: chosen on it, it is wrong on the other
    hits[1, order[20:]] = True
    assert fit.held_out(hits, seed=3) == 0.0 and hits.mean(axis=1).max() == 0.5
    hits[0] = True
    assert fit.held_out(hits, seed=3) == 100 * (40 - 0) / 40
    alike = np.random.default_rng(0).random((1, 40)) < 0.5
    assert fit.held_out(alike, seed=0) == pytest.approx(100 * alike.mean())
