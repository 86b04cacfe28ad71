"""LlamaGen: published sizes and names, agreement with two official codes, causality, the cache, sampling, training."""

import math

import pytest
import torch

from tesserae.generators import llamagen, llamagen_sampler
from tesserae.generators.llamagen_sampler import guided_at
from tesserae.nn.official import load_official
from tests import golden

REFERENCE = golden.load("llamagen")  # learned: GigaTok's code; rope2d: LlamaGen's
POSITIONS = ("learned", "rope2d")
V, CLASSES = 11, 4
SETTINGS = {"guidance": 2.0, "unguided_fraction": 0.4, "first_token_guided": True, "top_k": 0, "top_p": 1.0}


def filled(positions: str = "learned", **changes):
    """The tiny model with seeded weights (at initialisation all codes are alike)."""
    model = llamagen.build({**REFERENCE[positions]["spec"], **changes})
    golden.fill_by_name(model, REFERENCE[positions]["weight_scale"])
    return model.eval()


def inputs(positions: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes (B, N) and labels (B,), one of them of no class."""
    return torch.tensor(REFERENCE[positions]["tokens"]), torch.tensor(REFERENCE[positions]["labels"])


def close(actual: torch.Tensor, expected, tolerance: float = 1e-5) -> None:
    """Elementwise within `tolerance` of the largest magnitude, at least 1."""
    expected = torch.as_tensor(expected).view_as(actual)
    assert (actual - expected).abs().max() <= tolerance * max(1, expected.abs().max())


# Published sizes and names


@pytest.mark.parametrize(
    ("size", "tokens", "vocabulary", "positions", "total"),
    [
        ((768, 12, 12), 32, 8192, "learned", 98_330_880),  # B, as ConceptTok trains it
        ((768, 12, 12), 64, 8192, "learned", 98_355_456),
        ((768, 12, 12), 128, 8192, "learned", 98_404_608),
        ((1280, 36, 20), 32, 8192, "learned", 753_770_240),  # XL
        ((1280, 36, 20), 64, 8192, "learned", 753_811_200),
        ((1280, 36, 20), 128, 8192, "learned", 753_893_120),
        ((768, 12, 12), 256, 16384, "rope2d", 110_888_448),  # B of LlamaGen: "111M"
        ((1280, 36, 20), 256, 16384, "rope2d", 774_699_520),  # XL: "775M"
    ],
)
def test_published_parameter_counts(size, tokens, vocabulary, positions, total):
    width, blocks, heads = size
    spec = {"token_length": tokens, "vocabulary": vocabulary, "classes": 1000, "positions": positions}
    with torch.device("meta"):
        model = llamagen.build(
            {**spec, "width": width, "blocks": blocks, "heads": heads, "dropout": 0.1, "label_dropout": 0.1}
        )
    assert sum(p.numel() for p in model.parameters()) == total


@pytest.mark.parametrize("positions", POSITIONS)
def test_names_and_shapes_of_the_published_weights(positions):
    shapes = {name: list(tensor.shape) for name, tensor in filled(positions).state_dict().items()}
    assert shapes == REFERENCE[positions]["shapes"]


def test_weights_of_the_other_positions_are_refused():
    with pytest.raises(ValueError, match="missing: positional_embedding"):
        load_official(filled("learned"), filled("rope2d").state_dict())


# Agreement with the official codes: same weights, same codes and labels


@pytest.mark.parametrize("positions", POSITIONS)
def test_logits_loss_and_gradients_agree(positions):
    reference, (tokens, labels) = REFERENCE[positions], inputs(positions)
    model = filled(positions, label_dropout=0.0).train()
    close(model.logits(tokens, labels), reference["logits"])
    ((_, terms),) = model.losses({"tokens": tokens, "labels": labels}, 0, torch.Generator())
    assert terms["cross_entropy"].item() == pytest.approx(reference["loss"], rel=1e-6)
    terms["cross_entropy"].backward()
    for name, parameter in model.named_parameters():
        found = (parameter.grad * golden.seeded_array(f"of {name}", tuple(parameter.shape))).sum().item()
        assert found == pytest.approx(reference["gradients"][name], rel=1e-4, abs=1e-6), name


@pytest.mark.parametrize(("positions", "case"), [(p, c) for p in POSITIONS for c in REFERENCE[p] if "sampling" in c])
def test_greedy_sampling_agrees(positions, case, monkeypatch):
    """Codes, and the logits that each was drawn from."""
    reference, logits = REFERENCE[positions][case], []
    real = llamagen_sampler.probabilities
    monkeypatch.setattr(
        llamagen_sampler, "probabilities", lambda given, **settings: logits.append(given) or real(given, **settings)
    )
    labels = inputs(positions)[1].clamp(max=CLASSES - 1)
    settings = {name: reference[name] for name in ("guidance", "unguided_fraction")}
    tokens = draw(filled(positions), labels, [0, 1, 2], **settings, top_k=1)
    assert tokens.tolist() == reference["tokens"]
    N = tokens.shape[1]
    expected = torch.tensor(reference["logits"]).view(3, N, V)
    for i, found in enumerate(logits):
        # Where guidance is off, the official scale is 1.0001.
        close(found, expected[:, i], 1e-5 if guided_at(i, N, settings["unguided_fraction"], True) else 1e-3)


@pytest.mark.parametrize("case", range(len(REFERENCE["learned"]["filter"])))
def test_temperature_and_filters_agree(case):
    settings = dict(REFERENCE["learned"]["filter"][case])
    expected = settings.pop("probabilities")
    found = llamagen_sampler.probabilities(golden.seeded_array("filter", (3, 12), 2.0), **settings)
    close(found, torch.tensor(expected, dtype=torch.float64), 1e-6)
    assert ((found == 0) == (torch.tensor(expected).view(3, 12) == 0)).all()


# Causality and the cache


@pytest.mark.parametrize("positions", POSITIONS)
def test_no_prediction_depends_on_its_code_or_a_later_one(positions):
    (tokens, labels), model = inputs(positions), filled(positions).requires_grad_(False)
    before = model.logits(tokens, labels)
    for i in range(tokens.shape[1]):
        changed = tokens.clone()
        changed[:, i] = (changed[:, i] + 1) % V
        difference = (model.logits(changed, labels) - before).abs().amax(-1)
        assert difference[:, : i + 1].max() == 0
        assert (difference[:, i + 1 :] > 1e-5).all()
    assert not torch.equal(model.logits(tokens, (labels + 1) % (CLASSES + 1))[:, -1], before[:, -1])


@pytest.mark.parametrize("pieces", ["one by one", "several"])
@pytest.mark.parametrize("positions", POSITIONS)
def test_cached_logits_are_those_of_the_whole_sequence(positions, pieces):
    (tokens, labels), model = inputs(positions), filled(positions).requires_grad_(False)
    N = tokens.shape[1]
    x = torch.cat([model.cls_embedding(labels).unsqueeze(1), model.tok_embeddings(tokens[:, :-1])], dim=1)
    caches = model.empty_caches(len(x))
    parts = x.split([1] * N if pieces == "one by one" else [3, 1, N - 4], dim=1)
    found = torch.cat([model.output(model(part, caches)) for part in parts], dim=1)
    torch.testing.assert_close(found, model.logits(tokens, labels))
    with pytest.raises(ValueError, match=f"{N + 1} tokens"):
        model(x[:, -1:], caches)


# Sampling


def draw(model, labels, seeds, **changes):
    return llamagen_sampler.sample(model, labels, seeds=seeds, **{**SETTINGS, **changes})


def plainly(model, labels, seeds, *, guidance, unguided_fraction, first_token_guided, top_k, top_p):
    """Sampling without cache: the whole sequence for every code, both halves always, each sample alone."""
    N, drawn = model.token_length, []
    for label, seed in zip(labels.tolist(), seeds, strict=True):
        numbers = torch.rand(N, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        tokens = torch.zeros(1, N, dtype=torch.int64)
        for i in range(N):
            conditional, unconditional = (model.logits(tokens, torch.tensor([c]))[:, i] for c in (label, CLASSES))
            on = first_token_guided if i == 0 else i >= unguided_fraction * (N - 1)
            logits = unconditional + (guidance if on else 1.0) * (conditional - unconditional)
            chances = llamagen_sampler.probabilities(logits, temperature=1.0, top_k=top_k, top_p=top_p)[0]
            tokens[0, i] = int((chances.cumsum(0) > numbers[i]).nonzero()[0, 0])
        drawn.append(tokens)
    return torch.cat(drawn)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"first_token_guided": False},
        {"guidance": 1.0},
        {"guidance": 0.5, "unguided_fraction": 0.0},
        {"unguided_fraction": 1.0, "first_token_guided": False},
        {"guidance": 3.0, "unguided_fraction": 0.7, "top_k": 6, "top_p": 0.9},
    ],
)
@pytest.mark.parametrize("positions", POSITIONS)
def test_samples_are_those_of_the_plain_algorithm(positions, changes):
    model, labels, seeds = filled(positions).requires_grad_(False), torch.tensor([0, 3, 1, 2]), [5, 6, 7, 8]
    assert torch.equal(draw(model, labels, seeds, **changes), plainly(model, labels, seeds, **{**SETTINGS, **changes}))


@pytest.mark.parametrize("positions", POSITIONS)
def test_samples_do_not_depend_on_the_batch(positions):
    model, labels, seeds = filled(positions), torch.arange(8) % CLASSES, list(range(5, 13))
    together = draw(model, labels, seeds)
    assert together.dtype == torch.int64 and together.min() >= 0 and together.max() < V
    assert not torch.equal(together[0], together[4])  # same label, another seed
    for rows in ([5], [6, 0, 3], [7, 2, 5, 0, 6, 1, 4, 3]):
        assert torch.equal(draw(model, labels[rows], [seeds[i] for i in rows]), together[rows])


@pytest.mark.parametrize(
    ("changes", "rows"),
    [
        ({"guidance": 1.0}, [2] * 7),
        ({"unguided_fraction": 0.0}, [4] * 7),
        ({}, [4, 2, 2, 2, 2 * 3, 4, 4, 4]),  # unguided: 1, 2; at 3 the other half catches up, with 3 inputs at once
        ({"first_token_guided": False}, [2, 2, 2, 2, 2 * 4, 4, 4, 4]),
    ],
)
def test_no_pass_is_wasted(changes, rows, monkeypatch):
    """Rows times inputs of every pass, for two samples of 7 codes."""
    model, passes = filled("learned"), []
    forward = type(model).forward

    def counted(self, x, caches):
        passes.append(x.shape[0] * x.shape[1])
        return forward(self, x, caches)

    monkeypatch.setattr(type(model), "forward", counted)
    draw(model, torch.tensor([1, 2]), [0, 1], **changes)
    assert passes == rows


def test_only_unguided_samples_ignore_the_null_class():
    model, labels, seeds = filled(), torch.tensor([1, 2]), [0, 1]
    before = [draw(model, labels, seeds, guidance=g, unguided_fraction=0.0) for g in (1.0, 0.0)]
    with torch.no_grad():
        model.cls_embedding.embedding_table.weight[CLASSES] += 3 * golden.seeded_array("another", (16,))
    assert torch.equal(draw(model, labels, seeds, guidance=1.0), before[0])
    assert not torch.equal(draw(model, labels, seeds, guidance=0.0, unguided_fraction=0.0), before[1])


@pytest.mark.parametrize(("tokens", "first"), [(32, 6), (64, 12), (128, 23)])
def test_where_guidance_begins(tokens, first):
    """ConceptTok's 18 %, counted as in GigaTok's code."""
    guided = [guided_at(i, tokens, 0.18, True) for i in range(tokens)]
    assert guided == [True] + [False] * (first - 1) + [True] * (tokens - first)
    assert not guided_at(0, tokens, 0.18, False)
    assert guided_at(0, 1, 0.18, True)  # a sequence of one code


def test_codes_are_drawn_by_their_probabilities():
    chances = torch.tensor([0.0, 0.5, 0.0, 0.2, 0.3, 0.0], dtype=torch.float64)
    numbers = torch.rand(20_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    drawn = llamagen_sampler.draw(chances.expand(len(numbers), -1), numbers)
    frequencies = torch.bincount(drawn, minlength=6) / len(drawn)
    assert (frequencies - chances).abs().max() < 0.015 and (frequencies[chances == 0] == 0).all()  # sd 0.0035
    ends = llamagen_sampler.draw(chances.expand(3, -1), torch.tensor([0.0, 0.5, 1 - 2**-53], dtype=torch.float64))
    assert ends.tolist() == [1, 3, 4]


def test_temperature_zero_is_the_likeliest_code():
    model, labels = filled(), torch.tensor([1, 2])
    assert torch.equal(draw(model, labels, [0, 1], temperature=0.0), draw(model, labels, [2, 3], top_k=1))


# Training


@pytest.mark.parametrize("positions", POSITIONS)
def test_a_fresh_model_knows_nothing_and_every_parameter_can_learn(positions):
    model = llamagen.build({**REFERENCE[positions]["spec"], "dropout": 0.1, "label_dropout": 0.5}).train()
    tokens, _ = inputs(positions)
    batch = {"tokens": tokens.repeat(4, 1), "labels": torch.arange(12) % CLASSES}
    ((group, terms),) = model.losses(batch, 0, torch.Generator().manual_seed(0))
    assert group == "generator" and terms["cross_entropy"].item() == pytest.approx(math.log(V), rel=1e-6)
    torch.nn.init.normal_(model.output.weight, std=0.02)
    ((_, terms),) = model.losses(batch, 0, torch.Generator().manual_seed(0))
    terms["cross_entropy"].backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or p.grad.abs().max() == 0] == []


def test_initialisation():
    torch.manual_seed(0)
    model = llamagen.build({**REFERENCE["learned"]["spec"], "token_length": 63, "width": 64})
    for name, p in model.named_parameters():
        if p.ndim < 2:
            assert (p == 1).all()
        elif name == "output.weight":
            assert (p == 0).all()
        else:
            assert p.std().item() == pytest.approx(0.125 if name == "positional_embedding" else 0.02, rel=0.1), name


def test_labels_are_dropped_by_the_loss_and_activations_in_training():
    tokens, labels = inputs("learned")
    batch, rng = {"tokens": tokens, "labels": labels}, torch.Generator().manual_seed(0)

    def loss(model) -> float:
        ((_, terms),) = model.losses(batch, 0, rng)
        return terms["cross_entropy"].item()

    exact = filled(label_dropout=0.0).requires_grad_(False)
    nobody = torch.nn.functional.cross_entropy(
        exact.logits(tokens, torch.full_like(labels, CLASSES)).flatten(0, 1), tokens.flatten()
    )
    assert loss(filled(label_dropout=1.0)) == pytest.approx(nobody.item(), rel=1e-6)
    assert loss(filled(dropout=0.3, label_dropout=0.0)) == loss(exact)
    dropping = filled(dropout=0.3, label_dropout=0.0).train()
    assert len({loss(dropping) for _ in range(3)}) == 3
    dropped = [name for name, module in dropping.named_modules() if isinstance(module, torch.nn.Dropout)]
    assert len(dropped) == 1 + 2 * len(dropping.layers)


def test_weight_decay_spares_the_gains_alone():
    model = llamagen.build(REFERENCE["learned"]["spec"])
    ((group, named),) = model.parameter_groups().items()
    assert group == "generator" and len(named) == len(list(model.parameters()))
    spared = {name for name, p in named if model.no_weight_decay(name, p)}
    assert spared == {name for name, _ in named if "norm" in name}


def test_refused_settings():
    spec = REFERENCE["learned"]["spec"]
    with pytest.raises(ValueError, match="3 seeds for 2 labels"):
        draw(filled(), torch.tensor([0, 1]), [0, 1, 2])
    with pytest.raises(ValueError, match="not 7"):
        llamagen.build({**spec, "positions": "rope2d"})
    with pytest.raises(ValueError, match="unknown positions"):
        llamagen.build({**spec, "positions": "rope1d"})
    with pytest.raises(ValueError, match="not divisible"):
        llamagen.build({**spec, "heads": 3})
