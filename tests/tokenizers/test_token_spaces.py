"""How tokens move: images of a system's own tokens are what it decodes, and have a gradient."""

import importlib

import pytest
import torch

from tesserae import contracts
from tesserae.config.registry import TOKENIZERS
from tesserae.config.spaces import SPACES, WITHOUT
from tesserae.diffusion import recomputing
from tesserae.metrics.information_gain import coordinates_of, descend, random_starts
from tesserae.stages.shared.tokenizers import codebooks_of, encode
from tesserae.tokenizers import comptok, comptok_judge
from tests.stages.test_contracts import images, smallest, text
from tests.stages.test_contracts import tokenizers as recipes
from tests.tokenizers.batches import seeded
from tests.tokenizers.test_comptok import TINY
from tests.tokenizers.test_tatok import some_images
from tests.tokenizers.test_tatok import tiny as tatok

DRAWING = {"comptok", "comit", "flextok_like", "selftok_like"}


def awake(model):
    """With layers that are not zero, as some are before a training, and no gradient to weights."""
    for p in model.parameters():
        if p.ndim > 1 and not p.any():
            torch.nn.init.normal_(p, std=p[0].numel() ** -0.5)
    return model.eval().requires_grad_(False)


def case_of(system):
    return next(case for case in smallest(recipes, system) if case.model.get("learns") != "codes")


@pytest.mark.parametrize("system", SPACES)
def test_a_space_agrees_with_its_tokenizer(system):
    space, case = importlib.import_module(SPACES[system]), case_of(system)
    assert contracts.unmet(space, contracts.TokenSpace) == []
    model, pictures = awake(case.build()), images(case)
    tokens = encode(model, pictures, text(case))
    vectors = space.vectors(model, tokens)
    assert vectors.dtype == torch.float32 and vectors.ndim == 3
    torch.testing.assert_close(space.normalised(model, vectors), vectors, rtol=1e-3, atol=1e-3)
    vectors = vectors.requires_grad_()
    found = space.images(model, vectors, seeds=[3, 4])
    if system not in DRAWING:  # these decode in other steps, and from other noise
        torch.testing.assert_close(found, model.decode(tokens), rtol=1e-4, atol=1e-4)
    (gradient,) = torch.autograd.grad(found[0].square().sum(), vectors)
    assert gradient[0].any() and not gradient[1].any()  # an image is its own vectors' alone
    alone = space.images(model, vectors[1:].detach(), seeds=[4])
    torch.testing.assert_close(alone, found[1:].detach(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("system", sorted(DRAWING))
def test_steps_that_are_evaluated_again_have_the_same_gradient(system, monkeypatch):
    space, case = importlib.import_module(SPACES[system]), case_of(system)
    model, asked = awake(case.build()), []
    vectors = space.vectors(model, encode(model, images(case), text(case))).detach().requires_grad_()
    found = []
    for kept in (True, False):
        monkeypatch.setattr(space, "fits", lambda *counts, kept=kept, **size: asked.append(size) or kept)
        (gradient,) = torch.autograd.grad(space.images(model, vectors, seeds=[3, 4]).square().sum(), vectors)
        found.append(gradient)
    assert found[0].any() and torch.equal(*found) and len(asked) == 2
    assert not recomputing.fits(10, 10**6, **asked[0]) and recomputing.fits(1, 1, **asked[0])


def test_every_system_has_a_space_or_a_reason():
    assert not SPACES.keys() & WITHOUT.keys() and SPACES.keys() | WITHOUT.keys() == TOKENIZERS.keys()
    assert all(len(reason) > 20 for reason in WITHOUT.values())


def test_a_decoder_that_reads_prompts_says_why_it_has_no_space():
    model = torch.nn.Module()
    model.text = "decoder"
    space = importlib.import_module(SPACES["concepttok"])
    with pytest.raises(ValueError, match="reads a prompt"):
        space.images(model, torch.zeros(1, 2, 3), seeds=[0])


@pytest.mark.parametrize(
    ("changes", "filtering"),
    [
        ({}, {}),
        ({"layout": "literal"}, {"epsilon": 0.5}),
        ({"global_tokens": 0}, {}),
        ({}, {"length": "all"}),
        ({"layout": "literal"}, {"length": "rest"}),
    ],
)
def test_patches_that_only_one_image_keeps_fade_into_the_mask(changes, filtering, monkeypatch):
    space, model = importlib.import_module(SPACES["tatok"]), tatok(filtering=filtering, **changes).eval()
    codes = model.encode(some_images(6))
    vectors = space.vectors(model, codes)
    torch.testing.assert_close(space.images(model, vectors, seeds=[0] * 6), model.decode(codes), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(space.normalised(model, vectors), vectors)
    coordinates = coordinates_of(vectors, [*codebooks_of(model).values()])
    starts = random_starts([0, 1], vectors.shape[1:], coordinates, lambda z: space.normalised(model, z))
    begun = coordinates.vectors(starts)
    torch.testing.assert_close(space.normalised(model, begun), begun, rtol=1e-4, atol=1e-5)
    assert space.leaves_out(model) == (codes.min() < 0)
    if not space.leaves_out(model):
        return
    read, k = [], model.global_tokens
    monkeypatch.setattr(model, "rebuild", lambda of_image, embeddings, kept: read.append(embeddings) or embeddings)
    for u in (0.0, 0.5, 1.0):
        space.images(model, torch.lerp(vectors[:1].expand_as(vectors[1:]), vectors[1:], u), seeds=[0] * 5)
    torch.testing.assert_close(read[1], (read[0] + read[2]) / 2)
    assert torch.equal(read[2][codes[1:, k:] < 0], model.mask_token.expand(int((codes[1:, k:] < 0).sum()), -1))


def tiny():
    torch.manual_seed(0)
    model = comptok.build(TINY | {"decoder": {"width": 32, "blocks": 2, "heads": 2}})
    for name, p in model.named_parameters():
        if p.ndim > 1 and not name.startswith("first_stage."):
            torch.nn.init.normal_(p, std=p[0].numel() ** -0.5)
    return model.eval().requires_grad_(False)


def test_comptok_is_descended_from_a_normalised_start():
    model, space = tiny(), importlib.import_module(SPACES["comptok"])
    pictures = 2 * torch.rand(6, 3, 16, 16, generator=seeded()) - 1
    coordinates = coordinates_of(space.vectors(model, model.encode(pictures)))
    starts = random_starts([0, 1], (4, 3), coordinates, lambda z: space.normalised(model, z))
    norms = coordinates.vectors(starts).square().sum(-1)
    torch.testing.assert_close(norms, torch.full_like(norms, 2.0), rtol=1e-3, atol=0)
    found = descend(
        lambda z: space.images(model, z, seeds=[0, 1]), pictures[:2], starts, coordinates, steps=4, rate=1e-2
    )
    assert (found.gains > 0).all()


def test_the_critic_judges_images_and_who_has_none_says_so():
    model, pictures = tiny(), 2 * torch.rand(3, 3, 16, 16, generator=seeded()) - 1
    logits = comptok_judge.logits(model, pictures)
    assert logits.shape == (3,) and torch.equal(logits, comptok_judge.logits(model, pictures))
    torch.testing.assert_close(logits[1:2], comptok_judge.logits(model, pictures[1:2]), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="32 pixels for a critic of images of 16"):
        comptok_judge.logits(model, torch.zeros(1, 3, 32, 32))
    weights = TINY["loss_weights"] | {"adversarial": 0.0}
    with pytest.raises(ValueError, match="trained without L_AFM"):
        comptok_judge.logits(comptok.build(TINY | {"loss_weights": weights}), pictures)
