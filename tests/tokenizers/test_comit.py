"""COMiT: sizes, the official code's numbers, what follows from what, looking, drawing, losses, published weights."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch.nn import functional as F

from tesserae.costs import networks
from tesserae.costs.networks import training
from tesserae.encoders.first_stage import FIRST_STAGES, load_autoencoder, sd_vae
from tesserae.nn.first_weights import start_narrow
from tesserae.nn.message_transformer import allowed, biased, smoothed
from tesserae.tokenizers import comit_drawing as drawing
from tesserae.tokenizers import comit_looking as looking
from tesserae.tokenizers.comit import build, spread_loss
from tesserae.tokenizers.comit_looking import Policy
from tesserae.tokenizers.comit_weights import DEFAULTS, load_official, read_official
from tests import golden
from tests.golden import assert_golden
from tests.small import COMIT as TINY
from tests.tokenizers.batches import losses_of, seeded, some_images

GOLDEN = golden.load("comit")
MODULE = "tesserae.tokenizers.comit"
PAPER = TINY | {
    "image_size": 256,
    "first_stage": "sd_vae_mse",
    "patch_size": 2,
    "message_tokens": 256,
    "codebook_size": 64000,
    "levels": [8, 8, 8, 5, 5, 5],
    "crop": 96,
    "representation_layer": 4,
    "projector_width": 768,
    "looks": TINY["looks"] | {"most": 9},
}
B = {"width": 768, "blocks": 12, "heads": 12}
WEIGHED = {"teacher": "lite2", "loss_weights": TINY["loss_weights"] | {"srepa": 0.5, "repa": 0.25}}
FEATURES = 120  # of lite2
WHOLE = Policy("global", 1, True)


def tiny(fill=True, **changes):
    torch.manual_seed(0)
    model = build(TINY | changes)
    if fill:
        golden.fill_by_name(model, 0.3)
    return model


def with_teacher(count=4, patches=16):
    pooled, grid = (
        golden.seeded_array("pooled", (count, FEATURES)),
        golden.seeded_array("g", (count, patches, FEATURES)),
    )
    return {"images": some_images(count, 32), "teacher_pooled": pooled, "teacher_grid": grid}


# ---- sizes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "trained", "table"),
    [
        ({"transformer": B}, 173_647_896, 196_608),
        ({"transformer": {"width": 1024, "blocks": 24, "heads": 16}}, 610_586_648, 262_144),
        ({"transformer": {"width": 1152, "blocks": 28, "heads": 16}}, 900_080_664, 294_912),
        (
            {"transformer": B, "message_tokens": 64, "codebook_size": 1000, "levels": [8, 5, 5, 5]},
            173_349_910,
            196_608,
        ),
        (
            {"transformer": B, "message_tokens": 128, "codebook_size": 15360, "levels": [8, 8, 8, 6, 5]},
            173_449_751,
            196_608,
        ),
    ],
)
def test_parameters_of_the_paper(changes, trained, table):
    with torch.device("meta"):
        model = build(PAPER | changes)
    assert sum(p.numel() for p in model.parameters()) == trained
    assert model.predictor.pos_embed.numel() == table
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    width, blocks = changes["transformer"]["width"], changes["transformer"]["blocks"]
    assert len(shapes) == 28 + 12 * blocks and all(name.startswith("predictor.") for name in shapes)
    assert shapes["predictor.x_embedder.proj.weight"] == (width, 4, 2, 2)
    assert shapes["predictor.blocks.3.r_adaLN_modulation.1.weight"] == (6 * width, width)
    assert shapes["predictor.r_final_layer.linear.bias"] == (len((PAPER | changes)["levels"]),)


def test_parameters_of_pocket_in_the_specification():
    size = {"width": 64, "blocks": 4, "heads": 4}
    with torch.device("meta"):
        model = build(TINY | {"transformer": size, "patch_size": 4, "message_tokens": 16, "crop": 12})
    assert sum(p.numel() for p in model.parameters()) == 445_238
    assert model.predictor.pos_embed.numel() == 449_334 - 445_238


def step_of(model, drawn):
    """FLOP per image of a training step on 2 images in which these numbers are drawn."""
    with networks.FakeTensorMode(allow_non_fake_inputs=True):
        network = networks.build(MODULE, model).train()
        return networks._step(network, model, 2, "fp32", 0, drawn).per(2)["fp32"]


def test_costs_know_the_first_stage_and_the_random_number_of_looks():
    latent = {"image_size": 32, "first_stage": "sd_vae_mse", "patch_size": 1, "crop": 16}
    with networks.FakeTensorMode(allow_non_fake_inputs=True):
        assert networks._frozen(networks.build(MODULE, TINY | latent)) == 83_653_863
    model = TINY | {"transformer": {"width": 16, "blocks": 1, "heads": 2}}
    law, whole = looking.looks_law(1.0, 0.5, 4), 0.55
    crop, image = ({k: step_of(model, (law[:k].sum() - 0.01, at)) for k in (1, 2, 3, 4)} for at in (0.9, 0.1))
    every = sum(p * (whole * image[k] + (1 - whole) * crop[k]) for k, p in enumerate(law, 1))
    assert training(MODULE, model, 2, "fp32")["flops"]["fp32"] == pytest.approx(every, rel=1e-9)


# ---- the official code's numbers ----------------------------------------------------------------------------------


def official(mask):
    """The model of the golden numbers, and the images they were measured on."""
    size = GOLDEN["size"]
    model = build(
        TINY
        | {
            "image_size": 256,
            "patch_size": size["patch_size"],
            "transformer": {"width": size["hidden_size"], "blocks": size["depth"], "heads": size["num_heads"]},
            "message_tokens": size["num_msg_tokens"],
            "crop": 96,
            "mask": mask,
        }
    )
    load_official(model, official_state(model))
    small = golden.seeded_array("images", (2, 3, 16, 16), 0.5).clamp(-1, 1)
    return model.eval(), F.interpolate(small, (256, 256), mode="bilinear", align_corners=False)


def official_state(model):
    """Weights under official names; the table of positions is ours."""
    state = golden.state_by_name(GOLDEN["keys"], GOLDEN["scale"])
    return state | {"predictor.pos_embed": model.predictor.pos_embed.clone()}


def read(model, images, t, offsets, vectors, buffer=True):
    network = model.predictor
    told = network.embedded_offset(offsets), network.embedded_message(vectors)
    return network.read(network.embedded_image(images), t, *told, buffer=buffer)


@pytest.mark.parametrize("mask", ["causal", "additive_one"])
@torch.no_grad()
def test_official_passes(mask):
    (model, images), wanted = official(mask), GOLDEN[mask]
    vectors = model.code_vectors(torch.tensor([[0, 999, 500, 123, 321], [7, 77, 777, 888, 1]]))
    offsets, t = golden.seeded_array("offsets", (2, 2), 0.5), torch.tensor([0.2, 0.9])
    for piece, x in (("image", images), ("crop", images[:, :, 80:176, 0:96])):
        seen = read(model, x, t, offsets, vectors)
        assert_golden(model.predictor.velocity(seen), wanted[piece]["velocity"], 1e-4)
        assert_golden(model.predictor.message(seen), wanted[piece]["message"], 1e-4)
        assert_golden(seen.image_states, wanted[piece]["image_states"], 1e-4)
        assert_golden(seen.message_states, wanted[piece]["message_states"], 1e-4)
        if mask == "causal":
            dropped = read(model, x, t, offsets, vectors, buffer=False)
            assert_golden(model.predictor.velocity(dropped), wanted[piece]["velocity"], 1e-4)
    if mask == "causal":
        network = model.predictor
        parts = network.embedded_image(images), network.embedded_offset(offsets), network.embedded_message(vectors)
        tokens, sizes = network.sequence(*(parts[1], parts[0], parts[2])[1::-1], parts[2], buffer=True)
        condition, bias = network.t_embedder(1000 * t), biased(tokens.shape[1], 5, "causal")
        first, second = network.blocks
        assert_golden(
            second.attention_logits(first(tokens, sizes, condition, bias), sizes, condition), GOLDEN["logits"], 1e-4
        )


def watching_cells(model, images, policy):
    """What a model tells, and the cells of the grid that it looked at, in turn: (B, number of crops)."""
    cells, take = [], looking.cell
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(looking, "cell", lambda images, at, crop: (cells.append(at), take(images, at, crop))[1])
        return model.told(images, policy), torch.stack(cells, dim=1)


@pytest.mark.parametrize("mask", ["causal", "additive_one"])
@torch.no_grad()
def test_official_looking_and_drawing(mask, monkeypatch):
    (model, images), wanted = official(mask), GOLDEN[mask]
    told = model.told(images, Policy("raster", 3, True))
    assert told.vectors.flatten().tolist() == wanted["raster"]["vectors"]
    assert told.offsets.tolist() == wanted["raster"]["offsets"]
    noise = golden.seeded_array("noise", (2, 3, 256, 256))
    for kind, numbers in wanted["drawn"].items():
        solver, steps, guidance = kind.split()
        model.sampling = model.sampling | {"solver": solver}
        drawn = model.drawn(told, steps=int(steps), guidance=float(guidance), noise=noise)
        assert_golden(drawn, numbers, 1e-3)
    for number, kind in ((0, "whole"), (1, "crops")):
        noises = (golden.seeded_array(f"noise {i}", (1, 3, 256, 256)) for i in range(4))
        monkeypatch.setattr(model, "noise", lambda vectors, noises=noises: next(noises))
        told, cells = watching_cells(model, images[:1], Policy("adaptive", 4, not number))
        assert cells.flatten().tolist() == wanted["adaptive"][kind]["cells"]
        assert told.vectors.flatten().tolist() == wanted["adaptive"][kind]["vectors"]
        assert told.offsets.tolist() == wanted["adaptive"][kind]["offsets"]


# ---- the network --------------------------------------------------------------------------------------------------


def test_who_attends_to_whom():
    assert allowed(9, 3).int().tolist() == [
        *[[1, 1, 1, 1, 1, 1, 0, 0, 0]] * 6,  # offset, two of the image, three of the message
        [1, 1, 1, 1, 1, 1, 1, 0, 0],
        [1, 1, 1, 1, 1, 1, 1, 1, 0],
        [1, 1, 1, 1, 1, 1, 1, 1, 1],
    ]


@torch.no_grad()
def test_the_buffer_is_causal_and_nobody_else_sees_it_unless_the_mask_is_added():
    images, t, offsets = some_images(2, 32), torch.tensor([0.3, 0.8]), golden.seeded_array("offsets", (2, 2))
    for mask in ("causal", "additive_one"):
        model = tiny(mask=mask).eval()
        vectors = model.code_vectors(torch.arange(10).view(2, 5) * 90)
        before = read(model, images, t, offsets, vectors)
        for token in (1, 4):
            changed = tiny(mask=mask).eval()
            changed.predictor.r_to_pos_embed[0, token] += golden.seeded_array("moved", (32,))
            after = read(changed, images, t, offsets, vectors)
            moved = (model.predictor.message(before) - changed.predictor.message(after)).abs().amax((0, 2)) > 1e-6
            drew = (model.predictor.velocity(before) - changed.predictor.velocity(after)).abs().max().item()
            assert moved.tolist() == ([i >= token for i in range(5)] if mask == "causal" else [True] * 5)
            assert (drew == 0) == (mask == "causal")
        dropped = model.predictor.velocity(read(model, images, t, offsets, vectors, buffer=False))
        same = (model.predictor.velocity(before) - dropped).abs().max().item()
        assert (same < 1e-6) == (mask == "causal")


@torch.no_grad()
def test_a_crop_has_the_positions_of_the_upper_left_corner():
    network = tiny(crop=24).predictor
    table = network.pos_embed.view(4, 4, 32)
    torch.testing.assert_close(network.positions(3, 3)[0], table[:3, :3].reshape(9, 32))
    assert not network.pos_embed.requires_grad and "pos_embed" in dict(network.named_buffers())


@torch.no_grad()
def test_at_first_velocities_are_zero_and_all_images_have_one_message():
    model = tiny(fill=False)
    assert len(set(map(tuple, model.encode(some_images(3, 32)).tolist()))) == 1
    seen = read(model, some_images(3, 32), torch.rand(3), torch.zeros(3, 2), model.empty.expand(3, -1, -1))
    assert not model.predictor.velocity(seen).any()
    started = tiny(fill=False, gate_start=0.1)
    assert started.predictor.blocks[0].x_adaLN_modulation[1].bias.view(6, 32).sum(1).tolist() == pytest.approx(
        [0, 0, 3.2, 0, 0, 3.2]
    )


# ---- looking ------------------------------------------------------------------------------------------------------


def test_places_on_the_grid_and_offsets_between_them():
    places = looking.places_of(looking.corners(256, 96), 256, 96).tolist()
    at = (-0.625, 0.0, 0.625)
    assert places == [[x, y] for y in at for x in at]  # x before y, row by row
    model = tiny()
    with torch.no_grad():
        images = some_images(2, 32)
        for policy, cell in ((WHOLE, None), (Policy("raster", 2, False), 1), (Policy("raster", 5, True), 3)):
            told = model.told(images, policy)
            place = torch.zeros(2) if cell is None else looking.places_of(looking.corners(32, 16)[cell], 32, 16)
            torch.testing.assert_close(told.offsets, -place.expand(2, 2))
        seen = []
        model.rewritten = lambda pieces, offsets, vectors: (seen.append((pieces, offsets)), vectors)[1]
        model.told(images, Policy("raster", 2, False))
    assert torch.equal(seen[0][0], images[:, :, :16, :16]) and torch.equal(seen[1][0], images[:, :, :16, 8:24])
    assert seen[0][1].tolist() == [[0, 0]] * 2 and seen[1][1].tolist() == [[0.5, 0]] * 2


@given(st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_crops_lie_in_the_image_where_they_say(seed):
    images = torch.stack(torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")).expand(5, 2, 32, 32)
    look = looking.anywhere(images, 10, seeded(seed))
    rows, columns = look.pieces[:, 0, :, 0], look.pieces[:, 1, 0]
    centres = torch.stack([columns.mean(1) + 0.5, rows.mean(1) + 0.5], dim=1)
    torch.testing.assert_close(look.places, centres / 16 - 1)
    assert (rows.diff() == 1).all() and (columns.diff() == 1).all()


def test_the_law_of_the_number_of_looks():
    law = looking.looks_law(1.0, 0.5, 9)
    wanted = [0.413, 0.328, 0.161, 0.064, 0.023, 0.008, 0.003, 0.001, 0.0]
    assert law.sum() == pytest.approx(1) and law.tolist() == pytest.approx(
        wanted, abs=0.003
    )  # those of the specification were drawn
    rng = seeded()
    drawn = [looking.draw_looks(law, rng) for _ in range(4000)]
    assert set(drawn) <= set(range(1, 10))
    for looks, share in enumerate(law, 1):
        assert drawn.count(looks) / 4000 == pytest.approx(share, abs=0.02)
    assert (
        looking.looks_law(1.0, 0.5, 1).tolist() == [1] and looking.looks_law(2.0, 0.5, 4, True).tolist() == [0.25] * 4
    )


@torch.no_grad()
def test_no_cell_is_looked_at_twice_and_images_do_not_depend_on_others():
    model, images = tiny(), some_images(2, 32)
    for order, whole in (("adaptive", True), ("adaptive", False), ("random", True), ("raster", False)):
        policy = Policy(order, 9 + whole, whole)
        told, rows = watching_cells(model, images, policy)
        assert rows.sort(dim=1).values.tolist() == [list(range(9))] * 2
        assert (rows[:, 0] == 4).all() or whole or order != "adaptive"
        alone = torch.cat([model.encode_under(one[None], policy._asdict()) for one in images])
        assert torch.equal(model.quantizer.codes(told.vectors), alone), (order, whole)
    assert torch.equal(model.encode(images), model.encode_under(images, WHOLE._asdict()))


@torch.no_grad()
def test_the_next_cell_is_where_the_drawing_is_worst():
    images = some_images(2, 32)
    errors = looking.Errors(images, 16)
    drawn = images.clone()
    drawn[0, :, 26:, 26:] += 1
    drawn[1, :, :6, 26:] += 1
    assert errors.next(drawn).tolist() == [8, 2]
    assert errors.next(drawn).tolist() != [8, 2]


# ---- drawing ------------------------------------------------------------------------------------------------------


def test_one_step_of_the_exact_velocity_lands_on_the_image():
    data, noise = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    for solver in drawing.SOLVERS.values():
        torch.testing.assert_close(solver(lambda x, t: data - noise, noise, drawing.times(1, data.device)), data)
    t = torch.tensor([0.25, 0.5])
    x = t.view(-1, 1, 1, 1) * data + (1 - t.view(-1, 1, 1, 1)) * noise
    torch.testing.assert_close(drawing.as_velocity(data, x, t, "image"), data - noise)
    assert drawing.as_velocity(data, x, torch.ones(2), "image").abs().max() <= 20 * (data - x).abs().max()


@torch.no_grad()
def test_an_image_is_drawn_from_its_codes_alone():
    model, images = tiny(predicts="image"), some_images(3, 32)
    codes = model.encode(images)
    assert codes.dtype == torch.int64 and codes.shape == (3, 5) and codes.min() >= 0 and codes.max() < 1000
    drawn = model.decode(codes)
    assert drawn.shape == images.shape and torch.equal(drawn, model.decode(codes))
    torch.testing.assert_close(drawn, torch.cat([model.decode(one[None]) for one in codes]), atol=2e-3, rtol=0)
    torch.testing.assert_close(drawn, model.decode_by(codes, 3, 2.0))
    view = model.decode_by(codes, 1, 1.0)
    assert view.shape == images.shape and not torch.equal(view, drawn)
    assert model.code_vectors(codes).shape == (3, 5, 4) and model.code_vectors(codes).abs().max() <= 1
    shifted = model.decode_by(codes, 1, 1.0, torch.tensor([[0.5, 0.0]]).expand(3, 2))
    assert (shifted - view).abs().max() > 1e-4
    with pytest.raises(ValueError, match=r"guidance of 0\.5: choose 1"):
        model.decode_by(codes, 1, 0.5)


@torch.no_grad()
def test_codes_of_a_policy_that_ends_at_a_crop_are_drawn_from_there():
    policy = {"order": "raster", "crops": 3, "whole": True}
    model, images = tiny(policy=policy), some_images(2, 32)
    told = model.told(images, Policy(**policy))
    torch.testing.assert_close(model.decode(model.encode(images)), model.drawn(told, steps=3, guidance=2.0))


# ---- training -----------------------------------------------------------------------------------------------------


def test_losses_by_the_papers_names_and_what_they_reach():
    batch = with_teacher()
    for weights in ({}, WEIGHED, WEIGHED | {"loss_weights": TINY["loss_weights"] | {"repa": 0.25}}):
        model = tiny(**weights)
        assert model.teacher_side == (4 if weights else 0)
        named = {name.split(".")[0] for name, _ in model.named_parameters()}
        asked = {name for name, weight in (weights or TINY)["loss_weights"].items() if weight}
        assert named == {"predictor", *asked}  # no projector of what weighs nothing
        terms = losses_of(model, batch if weights else {"images": batch["images"]})["autoencoder"]
        assert set(terms) == {"flow_matching", *asked} and all(term.dtype == torch.float32 for term in terms.values())
        sum(terms.values()).backward()
        without = {name for name, p in model.named_parameters() if p.requires_grad and p.grad is None}
        assert not without  # the loop takes the norm of all gradients
        held = {name for name, p in model.named_parameters() if not p.requires_grad}
        assert held == {
            f"predictor.{n}" for n in ("y_pos_offset", "c_final_layer.linear.weight", "c_final_layer.linear.bias")
        }


def test_what_the_paper_has_not_is_added_only_where_it_weighs_something():
    looks = TINY["looks"] | {"most": 1, "whole_probability": 1.0}
    images, added = {"images": some_images(4, 32)}, {"perceptual": 0.5, "spread": 0.25}
    model = tiny(looks=looks, perceptual="lite2", loss_weights=TINY["loss_weights"] | added, predicts="image")
    terms, plain = (
        losses_of(one, images)["autoencoder"]
        for one in (model, tiny(looks=looks, perceptual="lite2", predicts="image"))
    )
    assert set(terms) == {"flow_matching", *added} and set(plain) == {"flow_matching"}
    assert terms["flow_matching"].item() == plain["flow_matching"].item()
    with torch.no_grad():
        values = model.values(images["images"], torch.zeros(4, 2), model.empty.expand(4, -1, -1))
    assert terms["spread"].item() == pytest.approx(0.25 * spread_loss(values).item(), rel=1e-5)
    said = model.predictor.final_layer.linear
    terms["perceptual"].backward(retain_graph=True)
    assert said.weight.grad.abs().sum() > 0  # reaches what draws
    model.zero_grad()
    terms["spread"].backward()
    assert said.weight.grad is None and model.predictor.r_final_layer.linear.weight.grad.abs().sum() > 0  # what says


def test_spread_is_least_where_levels_are_taken_alike():
    values = torch.randn(2000, 16, 4, generator=seeded(0))
    assert spread_loss(values).item() < 1e-3
    assert spread_loss(torch.zeros(8, 16, 4)).item() == 1.0
    assert spread_loss(values + 3).item() == pytest.approx(9, rel=0.05)
    quantizer = tiny().quantizer
    _, counts = quantizer.codes(quantizer(values)).unique(return_counts=True)
    assert len(counts) > 990  # of 1,000


def test_narrow_first_weights_let_each_token_say_what_its_patch_shows():
    transformer = {"width": 64, "blocks": 2, "heads": 4}
    model, found = tiny(fill=False, message_tokens=16, transformer=transformer, gate_start=1.0), []
    images = some_images(1, 32).repeat(17, 1, 1, 1)
    for patch in range(16):
        images[patch, :, patch // 4 * 8 :, patch % 4 * 8 :][:, :8, :8] *= -1
    network, empty = model.predictor, model.empty.expand(17, -1, -1)
    for _ in range(2):
        told = network.embedded_offset(torch.zeros(17, 2)), network.embedded_message(empty)
        with torch.no_grad():
            ((_, maps),) = network.attention(network.embedded_image(images), torch.ones(1), *told, [0], "causal")
            values = model.values(images, torch.zeros(17, 2), empty)
        looked = maps[:, :, 33:, 1:17].mean((0, 1)).argmax(1)  # of each of the buffer's tokens, the patch
        moved = (values[:16] - values[16:]).square().sum(2).argmax(1)  # of each patch, the token that notices it most
        found.append([(most == torch.arange(16)).sum().item() for most in (looked, moved)])
        start_narrow(model)
    before, after = found
    assert max(before) < 8 and after[0] == 16 and after[1] > 12


def test_smooth_kernels_keep_means_and_lose_checkerboards():
    flat, board = torch.ones(2, 3, 8, 8), (torch.arange(8)[:, None] + torch.arange(8)) % 2 * 2.0 - 1
    torch.testing.assert_close(smoothed(flat), flat)
    assert smoothed(board.expand(2, 3, 8, 8)).norm() < 0.1 * board.expand(2, 3, 8, 8).norm()


def test_the_losses_numbers():
    """Recomputed from what is drawn: one global look, then the flow and both alignments."""
    looks = TINY["looks"] | {"most": 1, "whole_probability": 1.0, "unconditional_probability": 0.0}
    model, batch, rng = tiny(looks=looks, **WEIGHED), with_teacher(), seeded(3)
    images = batch["images"]
    terms = losses_of(model, batch, seed=3)["autoencoder"]
    torch.rand((), generator=rng), torch.rand((), generator=rng), torch.rand((4, 1, 1), generator=rng)
    t = torch.sigmoid(-0.5 + torch.randn(4, generator=rng))
    noise = torch.randn(images.shape, generator=rng)
    with torch.no_grad():
        vectors = model.told(images, WHOLE).vectors
        x = t.view(-1, 1, 1, 1) * images + (1 - t.view(-1, 1, 1, 1)) * noise
        seen = read(model, x, t, torch.zeros(4, 2), vectors, buffer=False)
        flow = (model.predictor.velocity(seen) - (images - noise)).square().mean()
        said = model.srepa(seen.message_states).mean(1)
        srepa = 1 - F.cosine_similarity(said, batch["teacher_pooled"]).mean()
        repa = (1 - F.cosine_similarity(model.repa(seen.image_states), batch["teacher_grid"], dim=2)).mean()
    assert terms["flow_matching"].item() == pytest.approx(flow.item(), rel=1e-5)
    assert terms["srepa"].item() == pytest.approx(0.5 * srepa.item(), rel=1e-5)
    assert terms["repa"].item() == pytest.approx(0.25 * repa.item(), rel=1e-5)
    with pytest.raises(ValueError, match="9 features of a teacher, and 16 patches"):
        losses_of(model, with_teacher(patches=9))


@pytest.mark.parametrize("autocast", [False, True])
def test_only_the_last_look_has_a_gradient(autocast):
    model, images, graphs = tiny(), some_images(3, 32), []
    values = model.values

    def watched(pieces, offsets, vectors):
        found = values(pieces, offsets, vectors)
        graphs.append((vectors.requires_grad, found.requires_grad))
        return found

    model.values = watched
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        told = model.looked(images, 3, seeded())
    assert graphs == [(False, False), (False, False), (False, True)]
    told.vectors.sum().backward()
    trained = [name for name, p in model.named_parameters() if p.grad is not None]
    assert "predictor.blocks.0.attn.qkv.weight" in trained and "predictor.r_final_layer.linear.weight" in trained
    assert "predictor.final_layer.linear.weight" not in trained
    assert (
        model.predictor.message(read(model, images, torch.ones(1), told.offsets, model.empty.expand(3, -1, -1))).dtype
        == torch.float32
    )


def sketched_of(model, seed):
    """Messages and offsets of the pass that draws, in a step of the training."""
    seen, sketched = [], model._sketched
    model._sketched = lambda x, t, *told: (seen.append(told), sketched(x, t, *told))[1]
    losses_of(model, {"images": some_images(3, 32)}, seed=seed)
    return seen[0]


def test_an_unconditional_image_has_the_empty_message_and_its_own_offset():
    for probability, same in ((1.0, True), (0.0, False)):
        looks = TINY["looks"] | {"unconditional_probability": probability}
        model = tiny(looks=looks)
        vectors, offsets = sketched_of(model, seed=5)
        assert torch.equal(vectors, model.empty.expand(3, -1, -1)) == same
    assert offsets.any()  # of the crop that was looked at last
    assert torch.equal(tiny().empty, tiny().code_vectors(torch.full((5,), 500)))


# ---- bad input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"crop": 32}, "3 x 3 crops of 32 pixels do not fit into images of 32"),
        ({"crop": 20}, "crop side 20 is not divisible by the 8 pixels of a patch"),
        ({"image_size": 36}, "image side 36 is not divisible by the 8 pixels of a patch"),
        ({"levels": [8, 5, 5, 4]}, r"levels \[8, 5, 5, 4\] make 800 codes, not 1000"),
        ({"policy": {"order": "raster", "crops": 10, "whole": False}}, "a policy of 10 crops .* from 1 to 9"),
        ({"policy": {"order": "global", "crops": 2, "whole": True}}, "a policy of 2 crops"),
        ({"policy": {"order": "adaptive", "crops": 2, "whole": True}}, "nobody knows where the last look was"),
        ({"representation_layer": 2}, "representation layer 2 of 2 blocks"),
        ({"loss_weights": TINY["loss_weights"] | {"srepa": 0.5}}, "need a teacher"),
        (
            {
                "first_stage": "sd_vae_mse",
                "patch_size": 1,
                "perceptual": "lite2",
                "loss_weights": TINY["loss_weights"] | {"perceptual": 0.1},
            },
            "a perceptual loss compares images, and sd_vae_mse draws latents",
        ),
    ],
)
def test_what_does_not_fit_is_refused(changes, problem):
    with pytest.raises(ValueError, match=problem):
        tiny(**changes)


def test_a_policy_that_there_is_not_is_refused_at_use():
    with pytest.raises(ValueError, match="from 1 to 10: 3 x 3 cells and the image"):
        tiny().encode_under(some_images(1, 32), Policy("random", 11, True)._asdict())
    with pytest.raises(ValueError, match="unknown order 'spiral'"):
        tiny().encode_under(some_images(1, 32), Policy("spiral", 1, True)._asdict())
    with pytest.raises(ValueError, match="encoder is its decoder"):
        tiny().freeze_encoder()


# ---- published weights --------------------------------------------------------------------------------------------


def published(folder, config=None, **tensors):
    """As the hub has them: tensors, and beside them a config of three groups."""
    model = official("additive_one")[0]
    state = official_state(model) | tensors
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / "model.safetensors")
    said = {
        "predictor": {"_target_": "comit.components.predictor.RuledDiT", **GOLDEN["size"]},
        "quantizer": {"_target_": "comit.components.quantizer.FSQ", "levels": GOLDEN["levels"]},
        "vae": {"_target_": "comit.components.vae.SDAutoencoderKL", "model_type": "pixels"},
    }
    for group, values in (config or {}).items():
        said[group] = said[group] | values
    (folder / "config.json").write_text(json.dumps(said))
    return folder / "model.safetensors"


def test_published_weights_and_their_config(tmp_path):
    model, images = official("additive_one")
    wanted = model.encode(images)
    fresh = official("additive_one")[0]
    golden.fill_by_name(fresh, 0.1)
    file = published(tmp_path, **{"vae.vae.encoder.conv_in.bias": torch.zeros(3)})
    assert load_official(fresh, read_official(file)) == 1  # the first stage is read from its own file
    assert torch.equal(fresh.encode(images), wanted)
    assert set(DEFAULTS) <= set(GOLDEN["size"]) | {"mlp_ratio"}


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"predictor": {"patch_size": 16}}, "predictor.patch_size: 16, and the recipe makes 32"),
        ({"predictor": {"representation_layer": 1}}, "predictor.representation_layer: 1, and the recipe makes 0"),
        ({"quantizer": {"levels": [8, 8, 8]}}, r"quantizer.levels: \[8, 8, 8\], and the recipe makes \[8, 5, 5, 5\]"),
        ({"vae": {"model_type": "ema"}}, "vae.model_type: 'ema', and the recipe makes 'pixels'"),
        ({"vae": {"_target_": "os.system"}}, "vae._target_: 'system' is not known"),
    ],
)
def test_a_config_that_contradicts_the_recipe_is_refused(config, problem, tmp_path):
    model = official("additive_one")[0]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match=f"config.json contradicts the recipe:\n.*{problem}"):
        load_official(model, read_official(published(tmp_path, config)))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_published_tensors_that_do_not_fit_are_refused(tmp_path):
    model = official("additive_one")[0]
    with pytest.raises(ValueError, match=r"unexpected: predictor\.extra"):
        load_official(model, read_official(published(tmp_path, **{"predictor.extra": torch.zeros(1)})))
    other = {"predictor.pos_embed": model.predictor.pos_embed + 1}
    with pytest.raises(ValueError, match="not the table of sines"):
        load_official(model, read_official(published(tmp_path, **other)))
    (tmp_path / "config.json").unlink()
    with pytest.raises(ValueError, match=r"there is no config\.json"):
        read_official(tmp_path / "model.safetensors")


# ---- first stages -------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_latents_of_an_image_are_drawn_from_its_own_stream(monkeypatch):
    with torch.device("meta"):
        assert sum(p.numel() for p in sd_vae(4).parameters()) == 83_653_863
        assert len(sd_vae(4).state_dict()) == 248
    small = {"image_size": 64, "first_stage": "sd_vae_mse", "patch_size": 2, "crop": 32}
    model, images = tiny(**small), some_images(3, 64)

    class Halves(torch.nn.Module):
        def posterior(self, images):
            mean = F.avg_pool2d(images, 8)[:, [0, 1, 2, 0]]
            return mean, torch.full_like(mean, 0.5)

        def decode(self, latents):
            return F.interpolate(latents[:, :3], scale_factor=8.0)

    network = Halves()
    monkeypatch.setattr(model.first_stage, "network", lambda device: network)
    together = model.first_stage.encode(images)
    assert together.shape == (3, 4, 8, 8) and torch.equal(together, model.first_stage.encode(images))
    torch.testing.assert_close(together, torch.cat([model.first_stage.encode(one[None]) for one in images]))
    drawn = model.first_stage.encode(images, seeded(1))
    assert not torch.equal(drawn, together)
    mean = 0.18215 * F.avg_pool2d(images, 8)[:, [0, 1, 2, 0]]
    for latents in (drawn, together):
        assert ((latents - mean) / 0.18215).std().item() == pytest.approx(0.5, rel=0.1)
    model.first_stage.posterior = "mean"
    torch.testing.assert_close(model.first_stage.encode(images), mean)
    assert model.decode(model.encode(images)).shape == images.shape
    assert not any("first_stage" in name for name in model.state_dict())


def test_a_missing_first_stage_says_where_to_get_it(monkeypatch):
    monkeypatch.delenv("TESSERAE_WEIGHTS", raising=False)
    model = tiny(image_size=64, first_stage="sd_vae_ema", patch_size=2, crop=32)
    with pytest.raises(FileNotFoundError, match=r"TESSERAE_WEIGHTS/sd-vae-ft-ema/.*first_stage: pixels"):
        model.encode(some_images(1, 64))


def test_an_autoencoder_of_diffusers_is_read_by_its_names():
    names = golden.load("kl_vae")["diffusers"]["keys"]
    assert any(name.startswith("encoder.down_blocks.") for name in names)
    with torch.device("meta"):
        network = sd_vae(FIRST_STAGES["sd_vae_mse"].channels)
    with pytest.raises(ValueError, match=r"missing: decoder\.conv_in\.weight"):
        load_autoencoder(network, {"encoder.conv_in.bias": torch.zeros(128)})
