"""MAR: published sizes and names, agreement with the reference implementation, masking, sampling."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tesserae.diffusion.ddpm import DDPMSampler
from tesserae.generators import mar_sampler
from tesserae.generators.diffloss_sampler import Streams, guidance_at
from tesserae.generators.mar import build, draw_mask_ratio, masked_count, pick
from tests import golden

TINY = golden.load("mar")["spec"]
SAMPLER = {"guidance_schedule": "linear", "iterations": 5, "diffusion_steps": 4, "temperature": 1.0}


def spec(**changes) -> dict:
    return {**TINY, **changes}


def filled(scale: float = 0.2, **changes):
    """The tiny model with seeded weights (at initialisation its outputs are all zero), dropout off."""
    model = build(spec(**changes))
    golden.fill_by_name(model, scale)
    return model.eval()


def paper(width: int, blocks: int, heads: int, diffloss_blocks: int, diffloss_width: int, channels: int = 16) -> dict:
    diffloss = {**TINY["diffloss"], "blocks": diffloss_blocks, "width": diffloss_width}
    return spec(
        token_length=256,
        token_width=channels,
        classes=1000,
        width=width,
        encoder_blocks=blocks,
        decoder_blocks=blocks,
        heads=heads,
        buffer_size=64,
        diffloss=diffloss,
    )


def batch(count: int = 6) -> dict:
    tokens = golden.seeded_array("test batch", (count, TINY["token_length"], TINY["token_width"]))
    return {"tokens": tokens, "labels": torch.arange(count) % TINY["classes"]}


# Published sizes and names


@pytest.mark.parametrize(
    ("sizes", "total", "head", "tensors"),
    [
        ((768, 12, 12, 3, 1024), 192_174_624, 19_999_776, 340),  # MAR-B, l-DeTok Tables 1-2
        ((768, 12, 12, 6, 1024), 207_924_768, 35_749_920, 364),  # MAR-B, Table 3
        ((1024, 16, 16, 8, 1280), 478_326_304, 72_230_432, None),  # MAR-L, Table 3
        ((1280, 20, 16, 12, 1536), 942_403_104, None, None),  # MAR-H
        ((768, 12, 12, 3, 1024, 32), 192_236_096, None, None),  # MAR-B on 32 channels
    ],
)
def test_published_parameter_counts(sizes, total, head, tensors):
    with torch.device("meta"):
        model = build(paper(*sizes))
    assert sum(p.numel() for p in model.parameters()) == total
    assert head is None or sum(p.numel() for p in model.diffloss.parameters()) == head
    assert tensors is None or len(model.state_dict()) == tensors


def test_names_and_shapes_of_the_published_weights():
    with torch.device("meta"):
        shapes = {name: tuple(tensor.shape) for name, tensor in build(paper(768, 12, 12, 6, 1024)).state_dict().items()}
    expected = {
        "class_emb.weight": (1000, 768),
        "fake_latent": (1, 768),
        "mask_token": (1, 1, 768),
        "encoder_pos_embed_learned": (1, 320, 768),
        "decoder_pos_embed_learned": (1, 320, 768),
        "diffusion_pos_embed_learned": (1, 256, 768),
        "z_proj.weight": (768, 16),
        "z_proj_ln.bias": (768,),
        "encoder_blocks.11.norm1.weight": (768,),
        "encoder_blocks.0.attn.qkv.weight": (2304, 768),
        "decoder_blocks.11.attn.proj.bias": (768,),
        "decoder_blocks.3.mlp.fc1.weight": (3072, 768),
        "decoder_blocks.3.mlp.fc2.weight": (768, 3072),
        "decoder_norm.weight": (768,),
        "decoder_embed.weight": (768, 768),
        "diffloss.net.time_embed.mlp.0.weight": (1024, 256),
        "diffloss.net.time_embed.mlp.2.bias": (1024,),
        "diffloss.net.cond_embed.weight": (1024, 768),
        "diffloss.net.input_proj.weight": (1024, 16),
        "diffloss.net.res_blocks.5.in_ln.weight": (1024,),
        "diffloss.net.res_blocks.5.mlp.2.weight": (1024, 1024),
        "diffloss.net.res_blocks.0.adaLN_modulation.1.weight": (3072, 1024),
        "diffloss.net.final_layer.adaLN_modulation.1.bias": (2048,),
        "diffloss.net.final_layer.linear.weight": (32, 1024),
    }
    assert {name: shapes.get(name) for name in expected} == expected


# Agreement with the reference implementation: same weights, same noise. Inputs are seeded by their names.


@pytest.fixture(scope="module")
def reference():
    return golden.load("mar")


@pytest.fixture(scope="module")
def model(reference):
    return filled(reference["weight_scale"])


@pytest.fixture(scope="module")
def inputs(reference):
    B, N, C = reference["batch"], TINY["token_length"], TINY["token_width"]
    tokens = golden.seeded_array("tokens", (B, N, C))
    order = golden.seeded_array("order", (B, N)).argsort(1)
    return tokens, torch.tensor([0, 3, 4]), order


def close(actual: torch.Tensor, expected: list, tolerance: float = 1e-4) -> None:
    """Elementwise within `tolerance` of the largest magnitude, at least 1."""
    expected = torch.tensor(expected).view_as(actual)
    assert (actual - expected).abs().max() <= tolerance * max(1, expected.abs().max())


def test_transformer_agrees(reference, model, inputs):
    tokens, labels, order = inputs
    masked, known = order[:, : reference["masked"]], order[:, reference["masked"] :]
    by_position = known.sort(1).values
    with torch.no_grad():
        x = model.encode(pick(tokens, by_position), by_position, model.class_emb(labels))
        z = model.decode(model.encode(pick(tokens, known), known, model.class_emb(labels)), known, masked)
    close(x.sum(-1), reference["encoder_sum_by_slot"])
    close(z[:, :, :4], reference["decoder"])


def test_diffusion_head_agrees(reference, model):
    times, C = torch.tensor(reference["times"]), TINY["token_width"]
    x, z = golden.seeded_array("x", (7, C)), golden.seeded_array("z", (7, TINY["width"]))
    noise, target = golden.seeded_array("eps", (7, C)), golden.seeded_array("target", (7, C), 0.7)
    with torch.no_grad():
        close(model.diffloss.net(x, times, z), reference["net"])
        terms = model.diffloss.losses_at(z, target, times, noise)
    torch.testing.assert_close(terms.mse, torch.tensor(reference["mse"]), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(terms.vb, torch.tensor(reference["vb"]), rtol=1e-5, atol=1e-5)


def test_training_loss_agrees(reference, model, inputs):
    """The reference averages over all positions with a mask; here only masked positions are computed."""
    tokens, labels, order = inputs
    B, N, C = tokens.shape
    t = (golden.seeded_array("t", (2, B, N)).abs() * 400).long() % 1000
    t[0, 0, 0] = t[1, 1, order[1, 1]] = 0  # the likelihood term takes part
    noise = golden.seeded_array("ee", (2, B, N, C))
    count = masked_count(N, reference["training_ratio"])
    masked, known = order[:, :count], order[:, count:]
    with torch.no_grad():
        z = model.decode(model.encode(pick(tokens, known), known, model.class_emb(labels)), known, masked)
        terms = model.diffloss.losses_at(
            z.flatten(0, 1),
            pick(tokens, masked).flatten(0, 1),
            torch.cat([copy.gather(1, masked).flatten() for copy in t]),
            torch.cat([pick(copy, masked).flatten(0, 1) for copy in noise]),
        )
    assert (terms.mse.mean() + terms.vb.mean()).item() == pytest.approx(reference["training_loss"], rel=1e-5)


@pytest.mark.parametrize("case", range(3))
def test_sampling_agrees(reference, model, inputs, case):
    """With untrained weights the values are huge (x_0 is noise over a tiny signal): compared by their largest."""
    _, labels, order = inputs
    settings = dict(reference["samples"][case])
    expected = settings.pop("tokens")
    noise = golden.seeded_array("noise", (*order.shape, reference["sampling_steps"], TINY["token_width"]))
    with torch.no_grad():
        close(mar_sampler.generate(model, labels, Streams(order, noise), **settings), expected)


def test_respaced_timesteps_agree(reference):
    for count, steps in reference["timesteps"].items():
        assert DDPMSampler(build(TINY).diffloss.diffusion, int(count)).timesteps == steps


# Masking


def test_mask_ratio_is_the_truncated_normal():
    rng = torch.Generator().manual_seed(0)
    ratios = torch.tensor([draw_mask_ratio(rng, 0.7, 0.25) for _ in range(4000)])
    assert ratios.min() >= 0.7 and ratios.max() <= 1
    assert ratios.mean().item() == pytest.approx(0.867, abs=0.005)
    assert ratios.std().item() == pytest.approx(0.084, abs=0.004)
    below = (ratios < 0.85).float().mean().item()  # the density rises towards 1: less than the uniform's one half
    cdf = [0.5 * (1 + math.erf((r - 1) / 0.25 / math.sqrt(2))) for r in (0.7, 0.85)]
    assert below == pytest.approx((cdf[1] - cdf[0]) / (0.5 - cdf[0]), abs=0.03)


@given(tokens=st.integers(1, 300), ratio=st.floats(0.01, 1))
def test_masked_count_covers_the_ratio(tokens, ratio):
    count = masked_count(tokens, ratio)
    assert 1 <= count <= tokens and count - 1 < tokens * ratio <= count


@given(tokens=st.integers(1, 300), data=st.data())
def test_every_iteration_predicts_something(tokens, data):
    iterations = data.draw(st.integers(1, tokens))
    counts = mar_sampler.masked_after(tokens, iterations)
    assert len(counts) == iterations and counts[-1] == 1
    left = [tokens, *counts[:-1], 0]
    assert all(before > after for before, after in zip(left, left[1:], strict=False))


def test_cosine_schedule_of_the_papers():
    one_by_one = mar_sampler.masked_after(256, 256)
    assert one_by_one == [*range(255, 0, -1), 1]
    counts = [256, *mar_sampler.masked_after(256, 64)[:-1], 0]
    predicted = {before - after for before, after in zip(counts, counts[1:], strict=False)}
    assert min(predicted) == 1 and max(predicted) == 7


def test_guidance_schedules():
    assert guidance_at(3.0, "linear", 0, 256) == 1
    assert guidance_at(3.0, "linear", 192, 256) == 2.5
    assert guidance_at(3.0, "constant", 64, 256) == 3
    with pytest.raises(ValueError, match="guidance schedule"):
        guidance_at(3.0, "cosine", 64, 256)


# Training


def test_gradients_reach_every_parameter():
    model = filled(label_dropout=0.5).train()
    rng = torch.Generator().manual_seed(0)
    for step in range(3):  # a batch may be masked completely, and then z_proj sees nothing
        ((group, terms),) = model.losses(batch(), step, rng)
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
    ((_, terms),) = build(TINY).losses(batch(64), 0, torch.Generator().manual_seed(0))
    assert terms["diffloss_mse"].item() == pytest.approx(1, abs=0.1)


def test_repeated_conditions_and_shared_time_embeddings_change_no_number():
    head = filled().diffloss
    z, target = golden.seeded_array("z", (600, TINY["width"])), golden.seeded_array("y", (600, TINY["token_width"]))
    t, noise = torch.arange(1200) % 1000, golden.seeded_array("n", (1200, TINY["token_width"]))
    with torch.no_grad():
        together = head.losses_at(z, target, t, noise)  # more rows than times
        halves = [head.losses_at(z, target, t[i : i + 600], noise[i : i + 600]) for i in (0, 600)]
        output = head.net(head.diffusion.q_sample(target, t[:600], noise[:600]), t[:600], z)
        plain = head.diffusion.losses(output, target, t[:600], noise[:600])
    for k in range(2):
        torch.testing.assert_close(together[k], torch.cat([halves[0][k], halves[1][k]]), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(halves[0][k], plain[k], rtol=1e-4, atol=1e-4)


def test_weight_decay_exclusions_follow_the_official_optimiser():
    model = build(TINY)
    ((group, named),) = model.parameter_groups().items()
    assert group == "generator" and len(named) == len(list(model.parameters()))
    decayed = {name for name, p in named if not model.no_weight_decay(name, p)}
    assert {"class_emb.weight", "fake_latent", "z_proj.weight", "encoder_blocks.0.attn.qkv.weight"} <= decayed
    assert not any("diffloss" in n or "embed" in n or "norm" in n or "mask_token" in n for n in decayed)


# Sampling. A linear schedule keeps the samples of these untrained weights within a few orders of magnitude.


@pytest.fixture(scope="module")
def linear():
    return filled(0.1, diffloss={**TINY["diffloss"], "schedule": "linear"})


def draw(model, labels, seeds, **changes):
    return mar_sampler.sample(model, labels, seeds=seeds, **{**SAMPLER, "guidance": 2.0, **changes})


def same(a: torch.Tensor, b: torch.Tensor, tolerance: float = 1e-4) -> bool:
    return bool((a - b).abs().max() <= tolerance * b.abs().max())


@pytest.mark.parametrize(
    "settings",
    [
        {"guidance": 1.0},
        {"guidance": 2.5},
        {"guidance": 2.5, "guidance_schedule": "constant", "temperature": 0.9, "x0_limit": 3.0},
        {"guidance": 1.0, "temperature": 0.5, "iterations": 3, "diffusion_steps": 7},
    ],
)
def test_samples_do_not_depend_on_the_batch(linear, settings):
    """Eight samples, and the same ones in batches of 1, 3 and 8 in another order, within float32 rounding."""
    labels, seeds = torch.tensor([0, 1, 2, 3, 4, 0, 1, 2]), list(range(5, 13))
    together = draw(linear, labels, seeds, **settings)
    assert together.shape == (8, TINY["token_length"], TINY["token_width"])
    assert not same(together[0], together[5], 0.01)  # same label, another seed
    # The clamp is at work here because untrained weights leave the range of data, and rounding grows on the way there.
    tolerance = 1e-4 if "x0_limit" in settings else 1e-5
    for rows in ([5], [6, 0, 3], [7, 2, 5, 0, 6, 1, 4, 3]):
        part = draw(linear, labels[rows], [seeds[i] for i in rows], **settings)
        assert same(part, together[rows], tolerance)


def test_guidance_one_is_the_conditional_model_run_once(linear, monkeypatch):
    rows = []
    encode = type(linear).encode
    monkeypatch.setattr(type(linear), "encode", lambda self, *x: rows.append(len(x[2])) or encode(self, *x))
    labels, seeds = torch.tensor([1, 2]), [0, 1]
    plain = draw(linear, labels, seeds, guidance=1.0)
    assert rows == [2] * SAMPLER["iterations"]
    both = draw(linear, labels, seeds, guidance=1 + 1e-6)
    assert rows[-1] == 4 and same(both, plain, 1e-3)
    assert not same(draw(linear, labels, seeds, guidance=3.0), plain, 0.01)


def test_unguided_samples_ignore_the_fake_latent_and_null_guidance_the_class():
    model = filled(0.1, diffloss={**TINY["diffloss"], "schedule": "linear"})
    labels, seeds = torch.tensor([1, 2]), [0, 1]
    with torch.no_grad():
        before = [draw(model, labels, seeds, guidance=g, guidance_schedule="constant") for g in (1.0, 0.0)]
        model.fake_latent += golden.seeded_array("another", (1, TINY["width"]))
        assert same(draw(model, labels, seeds, guidance=1.0), before[0])
        assert not same(draw(model, labels, seeds, guidance=0.0, guidance_schedule="constant"), before[1], 0.01)


def test_more_iterations_than_tokens_are_capped(linear, monkeypatch):
    calls = []
    encode = type(linear).encode
    monkeypatch.setattr(type(linear), "encode", lambda self, *x: calls.append(1) or encode(self, *x))
    labels, seeds, N = torch.tensor([1, 2]), [0, 1], TINY["token_length"]
    capped = draw(linear, labels, seeds, iterations=10 * N)
    assert len(calls) == N
    assert torch.equal(capped, draw(linear, labels, seeds, iterations=N))


def test_sampling_is_deterministic_switches_dropout_off_and_restores_the_mode():
    model, labels, seeds = filled(), torch.tensor([1, 2]), [0, 1]
    expected = draw(model, labels, seeds)
    model.train()
    assert torch.equal(draw(model, labels, seeds), expected)
    assert model.training
    ((_, terms),) = model.losses(batch(), 0, torch.Generator().manual_seed(0))  # training still works afterwards
    sum(terms.values()).backward()


def test_one_seed_per_label(linear):
    with pytest.raises(ValueError, match="3 seeds for 2 labels"):
        draw(linear, torch.tensor([0, 1]), [0, 1, 2])
