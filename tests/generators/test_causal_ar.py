"""RandomAR and RasterAR: published sizes and names, agreement with the reference, causality, the cache, sampling."""

import pytest
import torch

from tesserae.diffusion.ddpm import DDPMSampler, guide
from tesserae.generators import (
    causal_ar_sampler,
    diffloss_sampler,
    randomar,
    randomar_sampler,
    rasterar,
    rasterar_sampler,
)
from tesserae.generators.diffloss_sampler import Streams, TokenSampler, guidance_at
from tesserae.nn.attention import Attention
from tests import golden

TINY = golden.load("causal_ar")["spec"]
SYSTEMS = {"random": randomar, "raster": rasterar}
SAMPLER = {"guidance_schedule": "linear", "diffusion_steps": 4, "temperature": 1.0}
B, N, C, D = 3, TINY["token_length"], TINY["token_width"], TINY["width"]


def filled(scale: float = 0.2, order: str = "random", **changes):
    """The tiny model with seeded weights (at initialisation its outputs are all zero)."""
    model = SYSTEMS[order].build({**TINY, **changes})
    golden.fill_by_name(model, scale)
    return model.eval()


def batch(count: int = 6) -> dict:
    return {"tokens": golden.seeded_array("test batch", (count, N, C)), "labels": torch.arange(count) % TINY["classes"]}


def same(a: torch.Tensor, b: torch.Tensor, tolerance: float = 1e-5) -> bool:
    return bool((a - b).abs().max() <= tolerance * b.abs().max())


@pytest.fixture(scope="module")
def reference():
    return golden.load("causal_ar")


@pytest.fixture(scope="module")
def inputs():
    """Tokens (B, N, C) in their places, labels (B,), an order (B, N)."""
    return golden.seeded_array("tokens", (B, N, C)), torch.tensor([0, 3, 4]), drawn_order("random")


def drawn_order(order: str) -> torch.Tensor:
    return golden.seeded_array("order", (B, N)).argsort(1) if order == "random" else torch.arange(N).expand(B, -1)


def conditions(model, tokens, order, labels):
    with torch.no_grad():
        return model.conditions(tokens.take_along_dim(order.unsqueeze(-1), 1), order, model.class_emb(labels))


# Published sizes and names


@pytest.mark.parametrize(
    ("sizes", "channels", "total", "tensors"),
    [
        ((768, 12, 12), 16, 150_133_536, 216),  # B, l-DeTok Tables 1-2
        ((1024, 24, 16), 16, 477_646_880, None),  # L
        ((1152, 28, 16), 16, 694_586_016, None),  # XL
        ((1280, 32, 16), 16, 970_592_544, None),  # H
        ((768, 12, 12), 32, 150_195_008, None),  # B on 32 channels
    ],
)
@pytest.mark.parametrize("order", SYSTEMS)
def test_published_parameter_counts(order, sizes, channels, total, tensors):
    width, blocks, heads = sizes
    spec = {"token_length": 256, "token_width": channels, "classes": 1000, "width": width, "blocks": blocks}
    diffloss = {**TINY["diffloss"], "blocks": 3, "width": 1024}
    with torch.device("meta"):
        model = SYSTEMS[order].build({**spec, "heads": heads, "label_dropout": 0.1, "diffloss": diffloss})
    assert sum(p.numel() for p in model.parameters()) == total
    assert tensors is None or len(model.state_dict()) == tensors


def test_names_and_shapes_of_the_published_weights(reference):
    assert {name: list(tensor.shape) for name, tensor in filled().state_dict().items()} == reference["shapes"]


# Agreement with the reference implementation: same weights, same order, same noise. Inputs are seeded by their names.


def close(actual: torch.Tensor, expected: list, tolerance: float = 1e-5) -> None:
    """Elementwise within `tolerance` of the largest magnitude, at least 1."""
    expected = torch.tensor(expected).view_as(actual)
    assert (actual - expected).abs().max() <= tolerance * max(1, expected.abs().max())


@pytest.mark.parametrize("order", SYSTEMS)
def test_conditions_and_training_loss_agree(reference, inputs, order):
    (tokens, labels, _), places = inputs, drawn_order(order)
    model = filled(reference["weight_scale"], order)
    z = conditions(model, tokens, places, labels)
    close(z[:, :, :4], reference[f"{order}_z"])
    t = (golden.seeded_array("t", (2 * B * N,)).abs() * 400).long() % 1000
    t[0] = t[20] = 0  # the likelihood term takes part
    target = tokens.take_along_dim(places.unsqueeze(-1), 1)
    noise = golden.seeded_array("ee", (2 * B * N, C))
    with torch.no_grad():
        terms = model.diffloss.losses_at(z.flatten(0, 1), target.flatten(0, 1), t, noise)
    assert (terms.mse.mean() + terms.vb.mean()).item() == pytest.approx(reference[f"{order}_loss"], rel=1e-5)


@pytest.mark.parametrize("case", range(5))
def test_sampling_agrees(reference, inputs, case):
    """The reference recomputes its prefix for every token. Untrained, its values are huge: compared by the largest."""
    settings = dict(reference["samples"][case])
    order, expected = settings.pop("order"), settings.pop("tokens")
    noise = golden.seeded_array("noise", (B, N, reference["sampling_steps"], C))
    model = filled(reference["weight_scale"], order)
    with torch.no_grad():
        tokens = causal_ar_sampler.generate(model, inputs[1], Streams(drawn_order(order), noise), **settings)
    close(tokens, expected)


# Order and causality


def test_no_condition_depends_on_its_token_or_a_later_one(inputs):
    tokens, labels, order = inputs
    model = filled()
    before = conditions(model, tokens, order, labels)
    for i in range(N):
        changed = tokens.clone()
        changed[torch.arange(B), order[:, i]] += 1.0
        difference = (conditions(model, changed, order, labels) - before).abs().amax(-1)
        assert difference[:, : i + 1].max() == 0
        assert (difference[:, i + 1 :] > 1e-4).all()


def test_an_order_is_a_renaming_of_places(inputs):
    """Any order gives what the raster gives in a model whose position tables are in that order."""
    tokens, labels, order = (x[:1] for x in inputs)
    model, renamed = filled(), filled(order="raster")
    with torch.no_grad():
        renamed.target_pos_embed.copy_(model.target_pos_embed[:, order[0]])
        renamed.pos_embed[:, 1:] = model.pos_embed[:, 1:][:, order[0]]
    raster, moved = torch.arange(N)[None], tokens[:, order[0]]
    assert same(conditions(model, tokens, order, labels), conditions(renamed, moved, raster, labels))
    assert not same(conditions(model, tokens, raster, labels), conditions(model, tokens, order, labels), 0.01)
    noise = golden.seeded_array("noise", (1, N, 4, C))
    settings = {"guidance": 2.0, "guidance_schedule": "linear", "temperature": 1.0}
    with torch.no_grad():
        drawn = causal_ar_sampler.generate(model, labels, Streams(order, noise), **settings)
        plain = causal_ar_sampler.generate(renamed, labels, Streams(raster, noise), **settings)
    assert same(drawn[:, order[0]], plain)


def test_orders():
    rng = torch.Generator().manual_seed(0)
    raster, drawn = filled(order="raster").orders(3, rng), filled().orders(4000, rng)
    assert torch.equal(raster, torch.arange(N).expand(3, -1))
    assert torch.equal(drawn.sort(1).values, torch.arange(N).expand(4000, -1))
    frequencies = torch.nn.functional.one_hot(drawn, N).float().mean(0)  # of each token at each place: 1/16, sd 0.004
    assert (frequencies - 1 / N).abs().max() < 0.02


# The cache


@pytest.mark.parametrize("pieces", [[1] * N, [5, 1, 1, 4, 5], [N]])
def test_cached_conditions_are_those_of_the_whole_sequence(inputs, pieces):
    tokens, labels, order = inputs
    model = filled()
    whole = conditions(model, tokens, order, labels)
    with torch.no_grad():
        moved = tokens.take_along_dim(order.unsqueeze(-1), 1)
        x = torch.cat([model.bos_token.expand(B, -1, -1), model.x_embedder(moved[:, :-1])], dim=1)
        caches, classes = model.empty_caches(B), model.class_emb(labels)
        parts = zip(x.split(pieces, 1), model.positions(order).split(pieces, 1), strict=True)
        found = torch.cat([model(part, places, classes, caches) for part, places in parts], dim=1)
        torch.testing.assert_close(found, whole)
        with pytest.raises(ValueError, match="17 tokens"):
            model(x[:, -1:], model.positions(order)[:, -1:], classes, caches)


def test_cached_attention_turns_new_tokens_only():
    """With RoPE, keys are kept turned; the table given is that of the new tokens."""
    torch.manual_seed(0)
    attention, x, rope = Attention(8, 2), torch.randn(2, 6, 8), torch.randn(6, 8)
    with torch.no_grad():
        cache = attention.empty_cache(2, 6)
        parts = zip(x.split([2, 1, 3], 1), rope.split([2, 1, 3]), strict=True)
        found = [attention(part, rope=table, causal=True, cache=cache) for part, table in parts]
        torch.testing.assert_close(torch.cat(found, dim=1), attention(x, rope=rope, causal=True))


def plainly(model, labels, streams, *, guidance, guidance_schedule, temperature):
    """Sampling without cache or shared work: the whole prefix for every token, both halves apart, step by step."""
    (order, noise), tokens = streams, torch.zeros(len(labels), N, C)
    steps = noise.shape[2]
    sampler = DDPMSampler(model.diffloss.diffusion, steps)
    for i in range(N):
        halves = [
            model.conditions(tokens, order, classes)[:, i]
            for classes in (model.class_emb(labels), model.fake_latent.expand(len(labels), -1))
        ]
        scale = guidance_at(guidance, guidance_schedule, i, N)

        def predict(x, k, halves=halves, scale=scale):
            t = torch.full((len(x),), sampler.timesteps[k])
            return guide(*(model.diffloss.net(x, t, z) for z in halves), scale)

        tokens[:, i] = sampler.sample(predict, noise[:, i].transpose(0, 1), temperature)
    return torch.empty_like(tokens).scatter_(1, order.unsqueeze(-1).expand_as(tokens), tokens)


@pytest.mark.parametrize(("guidance", "schedule", "temperature"), [(1.0, "linear", 0.9), (2.5, "constant", 1.0)])
def test_samples_are_those_of_the_plain_algorithm(linear, inputs, guidance, schedule, temperature):
    streams = Streams(inputs[2], golden.seeded_array("noise", (B, N, 4, C)))
    settings = {"guidance": guidance, "guidance_schedule": schedule, "temperature": temperature}
    with torch.no_grad():
        fast = causal_ar_sampler.generate(linear, inputs[1], streams, **settings)
        assert same(fast, plainly(linear, inputs[1], streams, **settings), 1e-4)


@pytest.mark.parametrize("rows", [1, 14, 10_000])
def test_modulations_of_several_steps_at_once_change_no_number(linear, monkeypatch, rows):
    monkeypatch.setattr(diffloss_sampler, "ROWS", rows)
    z, noise = golden.seeded_array("z", (2, 3, D)), golden.seeded_array("n", (7, 3, C))
    sampler = DDPMSampler(linear.diffloss.diffusion, 7)
    net = linear.diffloss.net

    def predict(x, k):
        return guide(*(net(x, torch.full((3,), sampler.timesteps[k]), half) for half in z), 1.5)

    with torch.no_grad():
        found = TokenSampler(linear.diffloss, 7, 0.8, None)(z, noise, 1.5)
        assert same(found, sampler.sample(predict, noise, 0.8))


# Training


def test_gradients_reach_every_parameter():
    model = filled(label_dropout=0.5).train()
    ((group, terms),) = model.losses(batch(), 0, torch.Generator().manual_seed(0))
    sum(terms.values()).backward()
    assert group == "generator" and set(terms) == {"diffloss_mse", "diffloss_vb"}
    assert [name for name, p in model.named_parameters() if p.grad is None or p.grad.abs().max() == 0] == []


def test_losses_depend_on_the_generator_alone():
    model = filled()

    def total(seed: int) -> float:
        ((_, terms),) = model.losses(batch(), 0, torch.Generator().manual_seed(seed))
        return sum(terms.values()).item()

    assert total(1) == total(1) != total(2)


def test_label_dropout_only_in_training():
    model = filled(label_dropout=1.0)
    labels, rng = torch.arange(3), torch.Generator().manual_seed(0)
    torch.testing.assert_close(model.class_vectors(labels, rng), model.class_emb(labels))
    torch.testing.assert_close(model.train().class_vectors(labels, rng), model.fake_latent.expand(3, -1))


def test_a_fresh_model_predicts_zero_noise():
    """Output layers start at zero, so the first MSE is the variance of the noise: one."""
    torch.manual_seed(0)
    ((_, terms),) = randomar.build(TINY).losses(batch(64), 0, torch.Generator().manual_seed(0))
    assert terms["diffloss_mse"].item() == pytest.approx(1, abs=0.1)


def test_weight_decay_exclusions_follow_the_official_optimiser():
    model = randomar.build(TINY)
    ((group, named),) = model.parameter_groups().items()
    assert group == "generator" and len(named) == len(list(model.parameters()))
    decayed = {name for name, p in named if not model.no_weight_decay(name, p)}
    assert {"class_emb.weight", "fake_latent", "transformer.blocks.0.adaLN_modulation.1.weight"} <= decayed
    words = ("ln", "bias", "embedding", "norm", "gamma", "embed", "token", "diffloss")
    assert decayed == {name for name, p in named if p.ndim >= 2 and not any(word in name for word in words)}


# Sampling. A linear schedule keeps the samples of these untrained weights within a few orders of magnitude.


@pytest.fixture(scope="module")
def linear():
    return filled(0.1, diffloss={**TINY["diffloss"], "schedule": "linear"})


def draw(model, labels, seeds, **changes):
    return randomar_sampler.sample(model, labels, seeds=seeds, **{**SAMPLER, "guidance": 2.0, **changes})


@pytest.mark.parametrize(
    "settings",
    [
        {"guidance": 1.0, "temperature": 0.5, "diffusion_steps": 7},
        {"guidance": 2.5},
        {"guidance": 2.5, "guidance_schedule": "constant", "temperature": 0.9, "x0_limit": 3.0},
    ],
)
@pytest.mark.parametrize("order", SYSTEMS)
def test_samples_do_not_depend_on_the_batch(order, settings):
    """Eight samples, and the same ones in batches of 1, 3 and 8 in another order, within float32 rounding."""
    model = filled(0.1, order, diffloss={**TINY["diffloss"], "schedule": "linear"})
    labels, seeds = torch.tensor([0, 1, 2, 3, 4, 0, 1, 2]), list(range(5, 13))
    together = draw(model, labels, seeds, **settings)
    assert together.shape == (8, N, C)
    assert not same(together[0], together[5], 0.01)  # same label, another seed
    for rows in ([5], [6, 0, 3], [7, 2, 5, 0, 6, 1, 4, 3]):
        part = draw(model, labels[rows], [seeds[i] for i in rows], **settings)
        assert same(part, together[rows], 1e-4)


def test_both_systems_have_the_sampler():
    assert randomar_sampler.sample is rasterar_sampler.sample


def test_guidance_one_runs_the_conditional_model_alone(linear, monkeypatch):
    rows, halves = [], []
    forward, modulated = type(linear).forward, type(linear.diffloss.net).modulated
    monkeypatch.setattr(type(linear), "forward", lambda self, *x: rows.append(len(x[0])) or forward(self, *x))
    monkeypatch.setattr(
        type(linear.diffloss.net),
        "modulated",
        lambda self, x, layers: halves.append(len(layers[0][0])) or modulated(self, x, layers),
    )
    labels, seeds = torch.tensor([1, 2]), [0, 1]
    plain = draw(linear, labels, seeds, guidance=1.0)
    assert rows == [2] * N and halves == [1] * 4 * N
    both = draw(linear, labels, seeds, guidance=1 + 1e-6)
    assert rows[N:] == [4] * N and same(both, plain, 1e-3)
    assert halves[4 * N :] == [1] * 4 + [2] * 4 * (N - 1)  # the linear schedule starts without guidance
    assert not same(draw(linear, labels, seeds, guidance=3.0), plain, 0.01)


def test_only_unguided_samples_ignore_the_fake_latent():
    model = filled(0.1, diffloss={**TINY["diffloss"], "schedule": "linear"})
    labels, seeds = torch.tensor([1, 2]), [0, 1]
    before = [draw(model, labels, seeds, guidance=g, guidance_schedule="constant") for g in (1.0, 0.0)]
    with torch.no_grad():
        model.fake_latent += golden.seeded_array("another", (1, D))
    assert same(draw(model, labels, seeds, guidance=1.0), before[0])
    assert not same(draw(model, labels, seeds, guidance=0.0, guidance_schedule="constant"), before[1], 0.01)


def test_refused_calls(linear):
    with pytest.raises(ValueError, match="3 seeds for 2 labels"):
        draw(linear, torch.tensor([0, 1]), [0, 1, 2])
    with pytest.raises(ValueError, match="guidance schedule"):
        draw(linear, torch.tensor([0]), [0], guidance_schedule="cosine")
