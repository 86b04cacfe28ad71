"""CompTok and Semanticist: parity with the official codes of their bases, sizes, who learns from what, weights."""

import json
from unittest import mock

import pytest
import torch

from tesserae.losses.adversarial_flow import critic_terms, normalised, pulled, relativistic
from tesserae.losses.representation import representation_loss
from tesserae.nn.latent_autoencoder import LatentAutoencoder
from tesserae.nn.patches import patchify
from tesserae.tokenizers import comptok
from tesserae.tokenizers.comptok import build, resized, spread_of_one
from tesserae.tokenizers.comptok_composing import mixed_tokens
from tesserae.tokenizers.comptok_decoder import Critic
from tesserae.tokenizers.comptok_weights import load_official
from tesserae.training import loop
from tests import golden
from tests.tokenizers.batches import losses_of, seeded
from tests.training import together

GOLDEN = golden.load("comptok")
BASE, LARGE = {"width": 768, "blocks": 12, "heads": 12}, {"width": 1024, "blocks": 24, "heads": 16}
KL16 = {
    "channels": 128,
    "multipliers": [1, 1, 2, 2, 4],
    "res_blocks": 2,
    "latent_channels": 16,
    "encoder_attention": True,
    "decoder_attention": False,
}
PAPER = GOLDEN["model"] | {
    "image_size": 256,
    "concept_tokens": 256,
    "token_width": 16,
    "encoder": BASE,
    "decoder": LARGE,
    "recogniser": BASE,
    "critic": LARGE,
    "first_stage": KL16,
    "aligned_block": 8,
    "teacher_side": 16,
    "loss_weights": {
        "variance": 1.0,
        "representation": 1.0,
        "information": 1.0,
        "swapped_information": 1.0,
        "adversarial": 1.0,
    },
    "auxiliary_start_step": 62_500,
    "transport_steps": 250_000,
}
SMALL = {"width": 16, "blocks": 1, "heads": 2}
TINY = PAPER | {
    "image_size": 16,
    "patch_size": 8,
    "concept_tokens": 4,
    "token_width": 3,
    "drop_path": 0.0,
    "encoder": SMALL,
    "decoder": SMALL,
    "recogniser": SMALL,
    "critic": SMALL,
    "first_stage": KL16 | {"channels": 4, "multipliers": [1, 1], "latent_channels": 4, "encoder_attention": False},
    "latent_scale": None,
    "prediction": "velocity",
    "nested_start_step": None,
    "aligned_block": 1,
    "projector_width": 8,
    "teacher_side": 4,
    "teacher": "lite2",
    "auxiliary": {"batch_fraction": 0.5, "steps": 2, "x0_limit": 3.0, "encoder_gradient": False},
    "auxiliary_start_step": 3,
    "transport_steps": 10,
    "sampling": {"method": "ddim", "steps": 3, "guidance": 1.0, "x0_limit": 3.0},
}


def tiny(**changes):
    torch.manual_seed(0)
    model = build(TINY | changes)
    golden.fill_by_name(model, 0.2)
    return model


def weighing(**weights):
    return {"loss_weights": TINY["loss_weights"] | weights}


def batch(size=4):
    rng = seeded()
    return {
        "images": 2 * torch.rand(size, 3, 16, 16, generator=rng) - 1,
        "teacher_grid": torch.randn(size, 16, 120, generator=rng),
    }


# ---- parity -----------------------------------------------------------------------------------------------------


def squares(maps):
    return patchify(maps, 2).unflatten(2, (4, -1))


def official():
    model = build(GOLDEN["model"]).eval()
    load_official(model, golden.state_by_name(GOLDEN["keys"], GOLDEN["fill_scale"]))
    return model


def inputs():
    latents, noise = (squares(golden.seeded_array(name, (3, 16, 4, 4))) for name in ("latents", "noise"))
    return latents, noise, torch.tensor([0, 400, 999])


@torch.no_grad()
def test_official_tokens_and_decoder():
    model, (latents, _, t) = official(), inputs()
    tokens = model.encode(2 * (golden.seeded_array("pixels", (3, 3, 64, 64), 0.2) + 0.5) - 1)
    golden.assert_golden(tokens, GOLDEN["tokens"])
    golden.assert_golden(model.dit(latents, t, tokens).output, GOLDEN["decoded"])


@torch.no_grad()
def test_official_losses_of_nested_tokens():
    model, (latents, noise, t) = official(), inputs()
    tokens = model.encode(2 * (golden.seeded_array("pixels", (3, 3, 64, 64), 0.2) + 0.5) - 1)
    kept = torch.tensor([3, 8, 1])
    with mock.patch.object(comptok, "draw_kept", lambda *law: kept):
        shown = model.shown(tokens, 0, seeded())
    seen = model.dit(model.diffusion.q_sample(latents, t, noise), t, shown, aligned=True)
    found = model.diffusion.losses(seen.output, latents, t, noise)
    torch.testing.assert_close(found.mse, torch.tensor(GOLDEN["mse"]), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.vb, torch.tensor(GOLDEN["vb"]), rtol=1e-5, atol=1e-6)
    projected = resized(model.dit.projector(seen.hidden), 4)
    teacher = golden.seeded_array("teacher", (3, 16, 768))
    torch.testing.assert_close(
        representation_loss(projected, teacher).item() - 1, GOLDEN["representation"], rtol=1e-4, atol=1e-6
    )


@torch.no_grad()
def test_official_sampling_with_guidance():
    model = official()
    tokens = model.encode(2 * (golden.seeded_array("pixels", (3, 3, 64, 64), 0.2) + 0.5) - 1)
    noises = [squares(golden.seeded_array(f"step{i}", (3, 16, 4, 4))) for i in range(26)]
    model.sampling["guidance"] = 2.0
    numbers = 2 * noises[0][0].numel()
    with mock.patch.object(comptok, "normals", lambda seeds, first, shape: noises[first // numbers]):
        golden.assert_golden(model.drawn_latents(tokens), GOLDEN["sampled"], tolerance=2e-2)


def official_critic():
    wanted = GOLDEN["critic"]
    critic = Critic({"width": 48, "blocks": 2, "heads": 3}, grid=2, patch_size=2, channels=16).eval()
    state = golden.state_by_name(wanted["keys"], GOLDEN["fill_scale"])
    critic.load_state_dict(state)
    return critic, wanted, torch.arange(8) * 120


def test_official_critic_and_its_losses():
    critic, wanted, t = official_critic()
    real, fake = (squares(golden.seeded_array(name, (8, 16, 4, 4))) for name in ("real", "fake"))
    steps = tuple(squares(golden.seeded_array(name, (2, 16, 4, 4))) for name in ("n1", "n2"))
    settings = {"penalty": 0.25, "penalty_fraction": 0.25, "penalty_noise": 0.01, "centring": 0.01}
    torch.testing.assert_close(critic(real, t), torch.tensor(wanted["logits"]), rtol=1e-5, atol=1e-5)
    found = critic_terms(critic, real, fake, t, steps, settings)
    torch.testing.assert_close(torch.stack(found), torch.tensor(wanted["terms"]), rtol=1e-3, atol=1e-5)


def test_official_normaliser_of_the_critics_gradient():
    critic, wanted, t = official_critic()
    of_real, square = torch.tensor(wanted["logits"]), torch.zeros(())
    for number, pull in enumerate(wanted["normalised"]):
        sample = squares(golden.seeded_array(f"sample{number}", (8, 16, 4, 4))).requires_grad_()
        loss = relativistic(critic(sample, t), of_real)
        term = pulled(loss, sample, normalised(loss, sample, square, 0.9))
        torch.testing.assert_close(term, loss)
        term.backward()
        golden.assert_golden(sample.grad, pull, tolerance=1e-6)


# ---- sizes ------------------------------------------------------------------------------------------------------


def count(module):
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def test_published_sizes():
    with torch.device("meta"):
        model = build(PAPER)
    parts = [count(part) for part in (model.encoder, model.encoder2slot, model.dit)]
    assert parts == [86_237_952, 12_304, 464_853_888] and sum(parts) == 551_104_144
    assert count(model.composing.recogniser) == 85_671_184 and count(model.composing.critic) == 454_734_848
    assert sum(p.numel() for p in model.first_stage.parameters()) == 66_456_019
    groups = model.parameter_groups()
    assert sum(p.numel() for _, p in groups["critic"]) == 454_734_848
    assert sum(p.numel() for _, p in groups["autoencoder"]) == 551_104_144 + 85_671_184
    left = sum(p.numel() for name, p in groups["autoencoder"] if not name.startswith("dit.projector."))
    assert left - 85_671_184 == 543_234_960


# ---- tokens -----------------------------------------------------------------------------------------------------


def test_tokens_have_mean_0_and_the_norm_of_an_unbiased_deviation():
    z = spread_of_one(5 + 3 * torch.randn(2, 4, 16, generator=seeded()))
    assert z.mean(-1).abs().max() < 1e-5
    torch.testing.assert_close(z.square().sum(-1), torch.full((2, 4), 15.0), rtol=1e-4, atol=0)


@torch.no_grad()
def test_a_concept_token_knows_the_image_and_the_tokens_before_it():
    model, images = tiny().eval(), batch()["images"]
    before = model.encode(images)
    model.encoder.slot_embed[0, 2] += torch.arange(16.0)
    changed = (model.encode(images) - before).abs().amax(dim=(0, 2)) > 1e-6
    assert changed.tolist() == [False, False, True, True]
    images[:, :, -1, -1] *= -1
    assert ((model.encode(images) - before).abs().amax(dim=(0, 2)) > 1e-6).all()


@torch.no_grad()
def test_the_decoder_knows_no_order_of_tokens():
    model, z = tiny().eval(), torch.randn(2, 4, 3, generator=seeded())
    x, t = torch.randn(2, *model.latent_shape, generator=seeded(1)), torch.tensor([10, 900])
    torch.testing.assert_close(model.dit(x, t, z).output, model.dit(x, t, z[:, [2, 0, 3, 1]]).output, rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", ["ddim", "ddpm"])
@torch.no_grad()
def test_a_decode_depends_on_its_tokens_alone(method):
    model = tiny(sampling=TINY["sampling"] | {"method": method}).eval()
    z = model.encode(batch()["images"])
    together = model.decode(z)
    torch.testing.assert_close(model.decode(z[1:2] + 1e-6), together[1:2], rtol=0, atol=1e-3)
    assert not torch.allclose(together[0], together[1])


def test_latents_are_those_of_the_first_stage_with_variance_1():
    model, images = tiny(), torch.rand(64, 3, 16, 16, generator=seeded()) * 2 - 1
    torch.manual_seed(1)
    stage = LatentAutoencoder(**TINY["first_stage"])
    model.take_first_stage(stage.state_dict(), images)
    drawn = model.latents(images, seeded(2))
    assert 0.9 < drawn.var() < 1.1
    mean = stage.posterior(images)[0]
    torch.testing.assert_close(model.maps(model.latents(images)), model.latent_scale * mean)
    torch.testing.assert_close(model.images(model.squares(model.latent_scale * mean)), stage.decode(mean))


def test_the_weights_of_another_first_stage_are_refused():
    other = LatentAutoencoder(**TINY["first_stage"] | {"latent_channels": 3})
    with pytest.raises(ValueError, match=r"not of the first stage that the recipe names: encoder\.conv_out"):
        tiny().take_first_stage(other.state_dict(), batch()["images"])


# ---- training ---------------------------------------------------------------------------------------------------

BASE_TERMS = {"mse", "vb", "representation"}
CRITIC_TERMS = {f"critic_{name}" for name in ("relativistic", "penalty_real", "penalty_fake", "centring")}


@pytest.mark.parametrize(
    ("weights", "gone"),
    [
        ({}, set()),
        ({"information": 0.0}, {"information"}),
        ({"swapped_information": 0.0}, {"swapped_information"}),
        ({"adversarial": 0.0}, {"adversarial", "transport"} | CRITIC_TERMS),
    ],
)
def test_an_ablation_drops_one_term_and_nothing_else(weights, gone):
    everything = {"information", "swapped_information", "adversarial", "transport"} | CRITIC_TERMS
    full, fewer = (losses_of(tiny(**weighing(**some)), batch(), step=3) for some in ({}, weights))
    assert set().union(*fewer.values()) == (BASE_TERMS | everything) - gone
    kept = ("mse", "vb", "representation", "information", "swapped_information")
    for name in fewer["autoencoder"].keys() & set(kept):
        torch.testing.assert_close(fewer["autoencoder"][name], full["autoencoder"][name])


def test_the_three_losses_begin_at_their_step():
    model = tiny()
    assert {group: set(terms) for group, terms in losses_of(model, batch(), step=2).items()} == {
        "autoencoder": BASE_TERMS
    }
    assert "critic" in losses_of(model, batch(), step=3)


def gradients(model, group, names, step=3):
    """Parts of the network that some terms of a group reach."""
    model.zero_grad()
    for found, terms, *_ in model.losses(batch(), step, seeded()):
        if found == group:
            sum(terms[name] for name in names).backward()
            break
    reached = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    return {".".join(name.split(".")[: 2 if name.startswith("composing") else 1]) for name in reached}


@pytest.mark.parametrize(
    ("terms", "reached"),
    [
        (["mse"], {"encoder", "encoder2slot", "dit"}),
        (["information"], {"dit", "composing.recogniser"}),
        (["swapped_information"], {"dit", "composing.recogniser"}),
        (["adversarial", "transport"], {"dit"}),
    ],
)
def test_who_learns_from_a_term(terms, reached):
    assert gradients(tiny(), "autoencoder", terms) == reached


def test_the_encoder_learns_from_the_three_losses_where_that_is_asked_for():
    model = tiny(auxiliary=TINY["auxiliary"] | {"encoder_gradient": True})
    assert "encoder" in gradients(model, "autoencoder", ["information"])


def test_the_critics_update_reaches_the_critic_alone():
    model = tiny()
    passes = model.losses(batch(), 3, seeded())
    next(passes)
    model.zero_grad()
    _, terms = next(passes)
    sum(terms.values()).backward()
    assert {n.split(".")[1] for n, p in model.named_parameters() if p.grad is not None and p.grad.any()} == {"critic"}


def test_every_parameter_has_a_gradient_before_the_three_losses_begin():
    model = tiny()
    _, terms, _ = next(iter(model.losses(batch(), 0, seeded())))
    sum(terms.values()).backward()
    assert [name for name, p in model.parameter_groups()["autoencoder"] if p.grad is None] == []


def test_semanticist_shows_the_first_tokens_from_its_step_on():
    weights = {"information": 0.0, "swapped_information": 0.0, "adversarial": 0.0}
    model = tiny(nested_start_step=2, auxiliary_start_step=None, critic=None, recogniser=None, **weighing(**weights))
    assert model.composing is None and set(losses_of(model, batch(), step=5)) == {"autoencoder"}
    tokens = torch.ones(200, 4, 3)
    null = model.dit.null_cond.detach()
    early, late = (model.shown(tokens, step, seeded()) for step in (1, 2))
    whole = (early == null).all(-1).sum(1)
    assert set(whole.tolist()) == {0, 4} and 5 < (whole == 4).sum() < 40  # a tenth, all of them
    kept = (late == tokens).all(-1)
    assert torch.equal(kept, kept.sort(dim=1, descending=True).values) and set(kept.sum(1).tolist()) == {1, 2, 3, 4}


def test_mixed_tokens_come_from_two_images_and_stay_in_their_places():
    own, other = torch.zeros(300, 4, 1), torch.arange(1.0, 5).view(1, 4, 1).expand(300, -1, -1)
    mixed = mixed_tokens(own, other, seeded())[..., 0]
    replaced = mixed > 0
    assert torch.equal(mixed[replaced], other[..., 0][replaced])
    assert set(replaced.sum(1).tolist()) == {1, 2, 3} and replaced.float().mean(0).std() < 0.1


def test_a_batch_of_one_has_nobody_to_swap_with():
    with pytest.raises(ValueError, match="needs two images"):
        losses_of(tiny(), batch(1), step=3)


def test_a_fast_decode_has_the_gradient_of_the_plain_one():
    model = tiny().eval()
    z = torch.randn(2, 4, 3, generator=seeded()).requires_grad_()
    noise = torch.randn(2, *model.latent_shape, generator=seeded(1))
    model.fast_latents(z, noise, 3).square().sum().backward()
    with mock.patch("tesserae.diffusion.ddim.checkpoint", lambda run, x, t, **_: run(x, t)):
        again = z.detach().requires_grad_()
        model.fast_latents(again, noise, 3).square().sum().backward()
    torch.testing.assert_close(z.grad, again.grad)
    assert z.grad.any()


# ---- weights ----------------------------------------------------------------------------------------------------


def test_published_weights_fit_strictly():
    state = golden.state_by_name(GOLDEN["keys"], 0.1)
    model = build(GOLDEN["model"])
    compiled = {"_orig_mod." + name.replace("blocks.", "_orig_mod.blocks."): x for name, x in state.items()}
    assert load_official(model, compiled | {"nested_sampler.arange": torch.arange(8)}) == 1
    torch.testing.assert_close(model.dit.null_cond, state["dit.null_cond"])
    broken = dict(state)
    del broken["encoder.norm.weight"]
    with pytest.raises(ValueError, match=r"missing: encoder.norm.weight\n.*unexpected: odd"):
        load_official(model, broken | {"odd": torch.zeros(1)})


@torch.no_grad()
def test_absent_tokens_are_those_that_the_decoder_learned_to_do_without():
    model = tiny().eval()
    z = model.encode(batch()["images"])
    absent, shown = z.clone(), z.clone()
    absent[:, 2:], shown[:, 2:] = torch.nan, model.dit.null_cond[:, 2:]
    assert torch.equal(model.decode(absent), model.decode(shown)) and model.decode(absent).isfinite().all()


# ---- training -----------------------------------------------------------------------------------------------------


def test_training_resumes_to_the_same_bytes_with_a_critic(tmp_path, monkeypatch):
    """Stopped while all three losses are on; what the gradient normaliser has seen is part of the state."""
    settings = TINY | {"drop_path": 0.1, "nested_start_step": 4} | weighing(representation=0.0)
    monkeypatch.setitem(together.KINDS, "comptok", (lambda: build(settings), "images", (3, 16, 16)))
    straight = together.fit(tmp_path / "straight", "comptok", steps=8)
    with monkeypatch.context() as often, pytest.raises(OSError, match="unreadable"):
        often.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
        together.fit(tmp_path / "again", "comptok", steps=8, breaks_at=6)
    together.fit(tmp_path / "again", "comptok", steps=8)
    assert together.same(tmp_path / "straight", tmp_path / "again")
    assert straight.weights["composing.adversarial_square"] > 0
    terms = [json.loads(line).keys() for line in (tmp_path / "again/curves.jsonl").read_text().splitlines()]
    assert [("critic_relativistic" in each, "adversarial" in each) for each in terms] == 3 * [(False,) * 2] + 5 * [
        (True,) * 2
    ]
    together.fit(tmp_path / "other", "comptok", steps=8, seed=4)
    assert not together.same(tmp_path / "straight", tmp_path / "other")
