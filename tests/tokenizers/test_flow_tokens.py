"""Tokenizers of FlexTok's and SelfTok's families: codes, what the decoder is shown and draws, losses, bad settings."""

import pytest
import torch

from tesserae.encoders.teachers import CHANNELS
from tesserae.nn.hashing import normals, seeds_of
from tesserae.nn.patches import patchify
from tesserae.tokenizers import flextok_like, selftok_like
from tests import golden
from tests.small import FLEXTOK_LIKE, FLOW, SELFTOK_LIKE
from tests.tokenizers.batches import all_losses, losses_of, reached, seeded, some_images

KINDS = {"flextok": (flextok_like, FLEXTOK_LIKE), "selftok": (selftok_like, SELFTOK_LIKE)}
ALIGNED = {"representation": 0.5, "teacher": "lite2"}


def tiny(kind, **changes):
    module, settings = KINDS[kind]
    torch.manual_seed(0)
    model = module.build(settings | changes)
    golden.fill_by_name(model, 0.3)
    return model.eval()


def flow(**changes):
    return {"flow": FLOW | changes}


both = pytest.mark.parametrize("kind", KINDS)


@both
@torch.no_grad()
def test_codes_and_their_vectors(kind):
    model = tiny(kind)
    codes = model.encode(some_images())
    assert codes.dtype == torch.int64 and codes.shape == (4, 8) and 0 <= codes.min() <= codes.max() < model.vocabulary
    vectors = model.code_vectors(codes)
    width = {"flextok": 3, "selftok": 4}[kind]
    assert vectors.shape == (4, 8, width) and vectors.dtype == torch.float32
    torch.testing.assert_close(vectors, model.coded(model.latents(some_images())).vectors)
    if kind == "selftok":
        torch.testing.assert_close(vectors.norm(dim=2), torch.ones(4, 8))


@both
@torch.no_grad()
def test_an_image_follows_from_its_codes_in_any_batch(kind):
    model = tiny(kind)
    codes = model.encode(some_images())
    together, alone = model.decode(codes), torch.cat([model.decode(row[None]) for row in codes])
    torch.testing.assert_close(together, alone, atol=1e-3, rtol=0)
    assert together.shape == (4, 3, 16, 16)
    codes[0, 0] = (codes[0, 0] + 1) % model.vocabulary
    changed = (model.decode(codes) - together).abs().flatten(1).amax(dim=1) > 0.1
    assert changed.tolist() == [True, False, False, False]


@both
@torch.no_grad()
def test_a_prefix_decides_alone_what_is_made_of_it(kind):
    model = tiny(kind)
    codes = model.encode(some_images())
    noise, kept = normals(seeds_of(codes), 0, (16, 48)), torch.tensor([1, 3, 8, 8])
    made = model.generated(model.code_vectors(codes), noise, kept)
    other = codes.clone()
    other[:, 3:] = (other[:, 3:] + 1) % model.vocabulary
    again = model.generated(model.code_vectors(other), noise, kept)
    same = [torch.allclose(a, b, atol=1e-5) for a, b in zip(made, again, strict=True)]
    assert same[:2] == [True, True] and same[2:] == [False, False]


@both
@pytest.mark.parametrize("predicts", ["velocity", "image"])
@torch.no_grad()
def test_one_step_from_what_is_true_is_the_image(kind, predicts):
    model = tiny(kind, **flow(predicts=predicts, steps=1))
    images = some_images()
    noise = torch.randn(4, 16, 48, generator=seeded())
    patches = patchify(images, 4)
    wanted = patches - noise if predicts == "velocity" else patches
    said = model.decoder(noise, torch.zeros(1), torch.zeros(4, 8, 16))
    model.decoder.forward = lambda *args, **kwargs: said._replace(patches=wanted)
    torch.testing.assert_close(model.generated(torch.zeros(4, 8, model.encoder.out.out_features), noise), images)


@both
@torch.no_grad()
def test_guidance_moves_away_from_what_nothing_says(kind):
    plain, guided = tiny(kind), tiny(kind, **flow(guidance=2.0, steps=1))
    codes, noise = plain.encode(some_images()), torch.randn(4, 16, 48, generator=seeded())
    vectors, t = plain.code_vectors(codes), torch.zeros(4)
    informed = plain.velocity(noise, t, plain.shown(vectors, t, None))
    blind = plain.velocity(noise, t, plain.nothing(vectors))
    assert not torch.allclose(informed, blind, atol=1e-3)
    made = patchify(guided.generated(vectors, noise), 4)
    torch.testing.assert_close(made, noise + blind + 2 * (informed - blind), atol=1e-4, rtol=1e-4)
    shown = plain.nothing(torch.randn(4, 8, vectors.shape[2]))
    torch.testing.assert_close(plain.velocity(noise, t, shown), blind)


@both
def test_losses_reach_both_halves(kind):
    model = tiny(kind).train()
    torch.manual_seed(0)
    ((group, terms, watched),) = model.losses({"images": some_images(8)}, 0, seeded())
    names = {"flextok": ["flow"], "selftok": ["flow", "quantizer"]}[kind]
    assert group == "autoencoder" and list(terms) == names and set(watched) == {"usage", "perplexity"}
    assert all(term.dtype == torch.float32 and term.ndim == 0 for term in terms.values())
    assert {"encoder", "decoder"} <= reached(model, terms)
    assert all(
        torch.equal(a, b)
        for a, b in zip(terms.values(), next(iter(all_losses(model, some_images(8)).values())).values(), strict=True)
    )


@both
def test_a_frozen_encoder_leaves_codes_as_they_are(kind):
    model = tiny(kind)
    model.freeze_encoder()
    trained = {name.split(".")[0] for name, _ in model.parameter_groups()["autoencoder"]}
    assert "decoder" in trained and not trained & {"encoder", "quantize"}


# ---- FlexTok's ----------------------------------------------------------------------------------------------------


def test_tokens_that_are_left_out_in_training_are_the_last_ones():
    model = tiny("flextok", kept_law="uniform", **flow(null_probability=0.5))
    vectors = torch.randn(400, 8, 3, generator=seeded())
    tokens, visible = model.shown(vectors, torch.rand(400), seeded())
    assert visible is None
    nothing = (tokens == model.null_token).all(dim=2).all(dim=1)
    assert 0.4 < nothing.float().mean() < 0.6
    gone = (tokens == model.left_out_token).all(dim=2)[~nothing]
    kept = (~gone).sum(dim=1)
    assert torch.equal(gone, torch.arange(8) >= kept[:, None]) and kept.unique().tolist() == list(range(1, 9))
    torch.testing.assert_close(tokens[~nothing][~gone], model.decoder.embedded(vectors[~nothing])[~gone])


def test_alignment_with_a_teacher():
    model = tiny("flextok", **ALIGNED).train()
    assert model.teacher_side == 4 and tiny("flextok").teacher_side == 0
    batch = {"images": some_images(), "teacher_grid": torch.randn(4, 16, CHANNELS["lite2"], generator=seeded())}
    terms = losses_of(model, batch)["autoencoder"]
    assert 0 < terms["representation"] < 1  # 0.5 times what lies from 0 to 2
    assert "projector" in reached(model, {"representation": terms["representation"]})
    assert any(name.startswith("projector.") for name in model.state_dict()) and model.TRAINING_ONLY == ("projector.",)
    with pytest.raises(ValueError, match="the teacher's features are"):
        losses_of(model, batch | {"teacher_grid": batch["teacher_grid"][:, :9]})


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"patch_size": 5}, "image side 16 is not divisible by patches of 5"),
        ({"latent_tokens": 6}, "a law of powers of two needs as many tokens, not 6"),
        ({"aligned_block": 2}, "aligned_block 2: a decoder of 2 blocks has 0 to 1"),
        ({"representation": 1.0}, "needs a teacher, one of dinov2_vitb14, lite2: None"),
        (flow(guidance=2.0, null_probability=0.0), "guidance needs a null_probability"),
        (flow(null_probability=1.0), "null_probability must be from 0 to 1"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes, problem):
    with pytest.raises(ValueError, match=problem):
        tiny("flextok", **changes)


# ---- SelfTok's ----------------------------------------------------------------------------------------------------


def test_what_is_seen_follows_from_the_time():
    model = tiny("selftok")
    vectors = torch.randn(5, 8, 4, generator=seeded())
    visible = model.shown(vectors, torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0]), None).visible
    assert visible.sum(dim=1).tolist() == [8, 6, 3, 2, 1]  # from noise to image; counts grow by 6 and by 2
    assert torch.equal(visible, torch.arange(8) < visible.sum(dim=1, keepdim=True))
    few = model.shown(vectors, torch.zeros(5), None, kept=torch.tensor([1, 2, 3, 4, 9])).visible
    assert few.sum(dim=1).tolist() == [1, 2, 3, 4, 8]


def test_in_training_some_images_show_no_token():
    model = tiny("selftok", **flow(null_probability=0.5))
    seen = model.shown(torch.randn(400, 8, 4), torch.zeros(400), seeded()).visible.sum(dim=1)
    assert seen.unique().tolist() == [0, 8] and 0.4 < (seen == 0).float().mean() < 0.6


def test_unused_codes_move_to_what_is_coded():
    model = tiny("selftok").train()
    losses_of(model, {"images": some_images(8)})
    collected = {name: value[None] for name, value in model.collected("autoencoder").items()}
    before, unused = model.quantize.embedding.weight.clone(), collected["counts"][0] == 0
    model.after_backward("autoencoder", collected)
    moved = (model.quantize.embedding.weight - before).abs().amax(dim=1)
    assert unused.any() and moved[unused].min() > 1e-3
    model.after_backward("autoencoder", model.collected("autoencoder"))  # nothing was coded since


def test_a_law_that_is_none_is_refused():
    with pytest.raises(ValueError, match="have to rise to 1"):
        tiny("selftok", stage_ends=[0.5, 0.9])
