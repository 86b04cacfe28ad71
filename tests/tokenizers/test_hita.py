"""Hita: sizes, parity with the official code's numbers, what follows from what, codes, losses, published weights."""

import pytest
import torch
from torch.nn import functional as F

from tesserae.costs.networks import coding, training
from tesserae.encoders.image_tokens import CHANNELS
from tesserae.losses.adversarial import hinge_loss
from tesserae.nn.first_weights import start_narrow
from tesserae.tokenizers.hita import Latents, build
from tesserae.tokenizers.hita_weights import load_official, our_name, read_official
from tesserae.training import weights
from tesserae.training.optimizers import hidden_matrices
from tests import golden
from tests.golden import assert_golden
from tests.small import HITA as TINY
from tests.tokenizers.batches import all_losses, seeded, some_images

GOLDEN = golden.load("hita")
OFFICIAL = {
    "network": {"channels": 128, "multipliers": [1, 1, 2], "res_blocks": 2},
    "holistic_tokens": 6,
    "shift": 4,
    "codebook_size": 64,
    "patch_code_width": 8,
    "holistic_code_width": 12,
    "encoder": {"width": 32, "blocks": 2, "heads": 4},
    "decoder": {"width": 32, "blocks": 2, "heads": 4},
    "gan_start_step": 5,
}
PAPER = TINY | {
    "image_size": 336,
    "network": {"channels": 128, "multipliers": [1, 1, 2, 2, 4], "res_blocks": 2},
    "holistic_tokens": 128,
    "shift": 4,
    "codebook_size": 16384,
    "patch_code_width": 8,
    "holistic_code_width": 12,
    "encoder": {"width": 512, "blocks": 3, "heads": 8},
    "decoder": {"width": 512, "blocks": 3, "heads": 8},
    "foundation": "dinov2_registers",
    "dropout": 0.1,
    "discriminator": {"channels": 64, "layers": 3},
}
M, K = 16, 5


def tiny(fill=True, **changes):
    torch.manual_seed(0)
    model = build(TINY | changes)
    if fill:
        golden.fill_by_name(model, 0.3)
    return model


# ---- sizes --------------------------------------------------------------------------------------------------------


def test_parameters_of_the_paper():
    with torch.device("meta"):
        model = build(PAPER | {"gan_start_step": 0})
    found = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    assert found.pop("discriminator") == 2_765_633
    assert found == {
        "encoder": 30_478_080,
        "decoder": 43_629_443,
        "encode_transformer": 20_020_256,
        "decode_transformer": 9_763_856,
        "quant_conv": 4_104,
        "post_quant_conv": 4_608,
        "pre_slots_quant": 6_156,
        "post_slots_quant": 6_656,
        "quantize": 131_072,
        "slot_quantize": 196_608,
    }
    assert sum(found.values()) == 104_240_839 and model.tokens == 128 + 441 and model.vocabulary == 16384


def test_the_frozen_network_is_counted_and_is_no_part_of_the_tokenizer():
    model = tiny()
    before = set(model.state_dict())
    model.image_tokens(some_images())  # read by now
    assert set(model.state_dict()) == before == {name for name, _ in model.named_parameters()}
    counted = training("tesserae.tokenizers.hita", TINY, 2, "fp32")
    assert counted["trainable"] == sum(p.numel() for p in model.parameters()) and counted["frozen"] == 6_092_072
    used = coding("tesserae.tokenizers.hita", TINY, 1)
    assert used["encode"]["fp32"] > 10 * used["decode"]["fp32"]  # most of it the frozen network's
    large = coding("tesserae.tokenizers.hita", TINY | {"foundation": "dinov2_registers"}, 1)
    own = sum(p.numel() for p in model.parameters()) + 16 * (1024 - CHANNELS["lite2"])
    assert large["weights"] == 4 * (own + 303_230_976) and large["encode"]["fp32"] > 2 * 257 * 302_000_000


def test_initialisation():
    size = {"width": 64, "blocks": 1, "heads": 2}
    model = tiny(fill=False, encoder=size, decoder=size, gan_start_step=0, codebook_size=2048)
    encoder, decoder = model.encode_transformer, model.decode_transformer
    for tokens in (encoder.pos_embed, encoder.carrier_tokens, decoder.position_embedding):
        assert tokens.std().item() == pytest.approx(64**-0.5, rel=0.15)
    assert encoder.transformer2[0].attn.v_proj.bias.any() and not decoder.transformer[0].attn.v_proj.bias.any()
    xavier = (6 / 128) ** 0.5
    assert decoder.transformer[0].attn.q_proj.weight.abs().max().item() == pytest.approx(xavier, rel=0.01)
    assert encoder.transformer2[0].attn.q_proj.weight.abs().max().item() == pytest.approx(64**-0.5, rel=0.01)
    for codebook in (model.quantize, model.slot_quantize):
        torch.testing.assert_close(codebook.embedding.weight.norm(dim=1), torch.ones(2048))
    start_narrow(model)  # first weights of the small scales
    layer = decoder.transformer[0]
    assert layer.attn.out_proj.weight.std() < 0.5 * layer.attn.v_proj.weight.std()  # branches are damped
    assert layer.mlp.w3.weight.std() < 0.5 * layer.mlp.w12.weight.std()
    rows = (encoder.pos_embed @ encoder.pos_embed.transpose(1, 2))[0]
    assert rows[0, 1] > rows[0, 3] and rows[0, 4] > rows[0, 12]  # neighbours are alike
    assert {name.split(".")[1] for name in hidden_matrices(model) if "transformer" in name} == {
        *("transformer1", "transformer2", "transformer")
    }


# ---- parity -------------------------------------------------------------------------------------------------------


def official_state(keys=GOLDEN["keys"]):
    """Weights under official names, by the rule of golden.fill_by_name; those of transformers are larger."""
    state = {}
    for name, shape in keys.items():
        noise = golden.seeded_array(name, tuple(shape), GOLDEN["scale"])
        gain = len(shape) == 1 and name.endswith("weight")
        larger = GOLDEN["transformers"] if "transformer" in name and len(shape) > 1 else 1
        state[name] = 1 + noise if gain else larger * noise
    return state


def official(**changes):
    """The model of the golden numbers, and the images they were measured on."""
    model = tiny(fill=False, **OFFICIAL | changes)
    load_official(model, official_state())
    golden.fill_by_name(model.discriminator, 0.05)
    tokens = golden.seeded_array("tokens", (2, 5, CHANNELS["lite2"]))
    model.image_tokens = lambda images: tokens
    return model, golden.seeded_array("images", (2, 3, 16, 16), 0.5).clamp(-1, 1)


@torch.no_grad()
def test_official_codes_and_images():
    model, images = official()
    model.eval()
    latents = model.latents(images)
    assert_golden(F.normalize(latents.holistic, dim=2), GOLDEN["holistic_latents"])
    assert_golden(F.normalize(latents.patches, dim=2), GOLDEN["patch_latents"])
    assert model.encode(images).tolist() == GOLDEN["codes"]
    assert len({code for row in GOLDEN["codes"] for code in row}) > 16  # not all the same
    assert_golden(model.decode((7 * torch.arange(44) % 64).view(2, 22)), GOLDEN["decoded"])
    assert_golden(model.decode(model.encode(images)), GOLDEN["reconstruction"])


@pytest.mark.parametrize(("wanted", "step"), [("losses", 0), ("adversarial", 5)])
def test_official_losses_and_gradients(wanted, step):
    wanted = GOLDEN[wanted]
    model, images = official()
    model.train().perceptual_loss = lambda target, prediction: (target - prediction).abs().mean()
    groups = model.losses({"images": images}, step, seeded())
    _, terms, _ = next(groups)
    total = sum(terms.values())
    for name in ("reconstruction", "codebook", "commitment"):
        assert terms[name].item() == pytest.approx(wanted[name], rel=1e-4)
    assert total.item() == pytest.approx(wanted["total"], rel=1e-4)
    total.backward()
    parameters = dict(model.named_parameters())
    assert len(wanted["gradients"]) == 10
    for name, norm in wanted["gradients"].items():
        assert parameters[our_name(name, 3)].grad.norm().item() == pytest.approx(norm, rel=1e-3)
    if step:
        model.zero_grad()
        _, terms = next(groups)
        terms["hinge"].backward()
        assert terms["hinge"].item() == pytest.approx(wanted["hinge"], rel=1e-4)
        norm = model.discriminator.main[0].weight.grad.norm().item()
        assert norm == pytest.approx(wanted["discriminator_gradient"], rel=1e-3)


# ---- what follows from what ---------------------------------------------------------------------------------------


@torch.no_grad()
def test_the_second_stack_of_the_encoder_is_causal_and_the_first_is_not():
    encoder = tiny().eval().encode_transformer
    x = torch.randn(2, K + M, 16, generator=seeded())
    changed = x.clone()
    changed[:, 9] = changed[:, 9].flip(1)

    def through(layers, x):
        for layer in layers:
            x = layer(x)
        return x

    before, after = (through(encoder.transformer2, each) for each in (x, changed))
    torch.testing.assert_close(before[:, :9], after[:, :9])
    assert (before - after).abs().amax((0, 2))[9:].min() > 1e-4
    before, after = (through(encoder.transformer1, each) for each in (x, changed))
    assert (before - after).abs().amax((0, 2)).min() > 1e-4


@torch.no_grad()
def test_all_tokens_follow_from_the_frozen_ones_and_holistic_ones_from_all_patches():
    encoder = tiny().eval().encode_transformer
    patches, frozen = (
        torch.randn(2, M, 16, generator=seeded()),
        torch.randn(2, 3, CHANNELS["lite2"], generator=seeded()),
    )
    before = encoder(patches, frozen)
    assert before.holistic.shape == (2, K, 16) and before.patches.shape == (2, M, 16)
    other = encoder(patches, frozen.flip(2))
    assert min((a - b).abs().amax((0, 2)).min() for a, b in zip(before, other, strict=True)) > 1e-5
    changed = patches.clone()
    changed[:, -1] = changed[:, -1].flip(1)
    assert (before.holistic - encoder(changed, frozen).holistic).abs().amax((0, 2)).min() > 1e-5
    where = encoder(patches.flip(1), frozen).patches.flip(1)  # positions count
    assert (before.patches - where).abs().max() > 1e-4


@pytest.mark.parametrize("shift", [0, 2, K])
@torch.no_grad()
def test_patches_are_read_so_many_tokens_early(shift):
    decoder = tiny(shift=shift).eval().decode_transformer
    some = Latents(torch.randn(2, K, 16, generator=seeded()), torch.randn(2, M, 16, generator=seeded(1)))
    before = decoder(some)
    assert before.shape == (2, M, 16)
    patches = some.patches.clone()
    patches[:, 6] = patches[:, 6].flip(1)
    moved = (before - decoder(some._replace(patches=patches))).abs().amax((0, 2))
    assert (moved[: 6 + shift] < 1e-6).all() and (moved[6 + shift :] > 1e-5).all()
    holistic = some.holistic.clone()
    holistic[:, 0] = holistic[:, 0].flip(1)
    assert (before - decoder(some._replace(holistic=holistic))).abs().amax((0, 2)).min() > 1e-6


# ---- codes --------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_codes_are_holistic_ones_and_then_those_of_patches():
    model, images = tiny().train(), some_images()
    codes = model.encode(images)
    assert codes.shape == (4, K + M) == (4, model.tokens) and codes.dtype == torch.int64 and model.vocabulary == 24
    assert torch.equal(codes, model.eval().encode(images, rng=seeded()))
    output = model(images)
    assert torch.equal(codes, torch.cat([output.holistic.codes, output.patches.codes], dim=1))
    torch.testing.assert_close(model.decode(codes), output.images, atol=2e-5, rtol=1e-5)
    for found, codebook, start in zip(
        model.latents(images), (model.slot_quantize, model.quantize), (0, K), strict=True
    ):
        cosine = F.cosine_similarity(found[:, :, None], codebook.embedding.weight[None, None], dim=3)
        assert torch.equal(cosine.argmax(2), codes[:, start : start + found.shape[1]])
    assert len(codes[:, :K].unique()) > 2 and len(codes[:, K:].unique()) > 2


@torch.no_grad()
def test_every_code_counts_but_the_last_ones():
    """Of both codebooks, by where it stands; what the shift leaves unread has no effect, as in the official code."""
    model = tiny().eval()
    codes = torch.randint(24, (2, K + M), generator=seeded(3))
    rebuilt = model.decode(codes)
    assert rebuilt.shape == (2, 3, 16, 16)
    for place in (0, K - 1, K, K + M - 3, K + M - 2, K + M - 1):
        other = codes.clone()
        other[:, place] = (other[:, place] + 5) % 24
        moved = (model.decode(other) - rebuilt).abs().amax((1, 2, 3))
        assert (moved > 1e-5).all() if place < K + M - TINY["shift"] else (moved < 1e-6).all()


@torch.no_grad()
def test_an_image_is_coded_and_decoded_alike_in_any_company():
    model, images = tiny().eval(), some_images(3)
    codes, rebuilt = model.encode(images), model.decode(model.encode(images))
    for i in range(3):
        assert torch.equal(model.encode(images[i : i + 1]), codes[i : i + 1])
        torch.testing.assert_close(model.decode(codes[i : i + 1])[0], rebuilt[i], atol=1e-5, rtol=1e-5)


def test_weights_are_saved_without_what_only_training_needs(tmp_path):
    whole = TINY | {"gan_start_step": 0}
    model = tiny(gan_start_step=0).eval()
    kept = weights.used(model, model.state_dict())
    assert set(kept) == set(tiny().state_dict())
    weights.save(tmp_path / "weights.safetensors", kept, "tesserae.tokenizers.hita", whole)
    again = weights.load(tmp_path / "weights.safetensors")
    assert torch.equal(again.encode(some_images()), model.encode(some_images()))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image_size": 18}, "18 is not divisible by the 4 pixels"),
        ({"shift": 6}, "6 tokens early behind 5 holistic ones"),
        ({"shift": -1}, "-1 tokens early"),
        ({"holistic_tokens": 0, "shift": 0}, "behind 0 holistic ones"),
        ({"decoder": {"width": 8, "blocks": 1, "heads": 2}}, "width 16 needs a decoder of it, not 8"),
        ({"encoder": {"width": 16, "blocks": 1, "heads": 3}}, "16 is not divisible by 3 heads"),
        ({"foundation": "dinov2"}, "unknown foundation 'dinov2', and not one of dinov2_registers, lite2"),
        ({"perceptual": "vgg"}, "vgg"),
        ({"gan_start_step": 0, "discriminator": None}, "needs the size of a discriminator"),
    ],
)
def test_what_cannot_be_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        tiny(**changes)


def test_rows_of_another_tokenizer_are_refused():
    with pytest.raises(ValueError, match=r"rows of 16 codes, and this tokenizer reads 21 .*its own recipe"):
        tiny().decode(torch.zeros(2, M, dtype=torch.int64))
    with pytest.raises(ValueError, match="remove it from the recipe"):
        tiny().freeze_encoder()


# ---- losses -------------------------------------------------------------------------------------------------------


def test_terms():
    scale = {"reconstruction": 3.0, "perceptual": 0.1, "quantizer": 2.0, "gan": 0.0}
    model, images = tiny(loss_weights=scale, commitment=0.5).train(), some_images()
    model.perceptual_loss = lambda target, prediction: (target - prediction).abs().max()
    output, terms = model(images), all_losses(model, images)["autoencoder"]
    assert terms["reconstruction"].item() == pytest.approx(3 * F.mse_loss(output.images, images).item(), rel=1e-5)
    assert terms["perceptual"].item() == pytest.approx(0.1 * (images - output.images).abs().max().item(), rel=1e-5)
    away = 0.0
    for found, codebook in zip(model.latents(images), (model.slot_quantize, model.quantize), strict=True):
        u, e = F.normalize(found, dim=2), F.normalize(codebook.embedding.weight, dim=1)
        away += ((u[:, :, None] - e).square().sum(3).min(2).values / u.shape[2]).mean().item()
    assert terms["codebook"].item() == pytest.approx(2 * away, rel=1e-4)
    assert terms["commitment"].item() == pytest.approx(away, rel=1e-4)
    watched = next(model.losses({"images": images}, 0, seeded()))[2]
    codes = model.encode(images)
    assert watched["usage"].item() == pytest.approx(len(codes[:, K:].unique()) / 24)
    assert watched["holistic_usage"].item() == pytest.approx(len(codes[:, :K].unique()) / 24)
    assert set(watched) == {"usage", "perplexity", "holistic_usage", "holistic_perplexity"}


def test_gan_waits_for_its_step_and_each_update_moves_its_own_half():
    model, images = tiny(gan_start_step=5).train(), some_images()
    early = all_losses(model, images, step=4)
    assert list(early) == ["autoencoder"] and "gan" not in early["autoencoder"]
    groups, reached = model.parameter_groups(), {}
    fake = model(images).images
    judged, real = model.discriminator(fake), model.discriminator(images)
    wanted = {"gan": 0.5 * F.softplus(-judged).mean().item(), "hinge": 0.5 * hinge_loss(real, judged).item()}
    for group, terms, *_ in model.losses({"images": images}, 5, seeded()):
        model.zero_grad(set_to_none=True)
        sum(terms.values()).backward()
        reached[group] = {name for name, p in model.named_parameters() if p.grad is not None}
        for name in terms.keys() & wanted.keys():
            assert terms[name].item() == pytest.approx(wanted.pop(name), rel=1e-4)
    assert reached == {group: {name for name, _ in named} for group, named in groups.items()} and not wanted
    assert set.union(*reached.values()) == {name for name, _ in model.named_parameters()}


def test_dropout_is_for_training_alone():
    model, images = tiny(dropout=0.5), some_images()
    assert torch.equal(model.eval()(images).images, model(images).images)
    assert not torch.equal(model.train()(images).images, model(images).images)
    encoder, x = model.encode_transformer, torch.randn(1, 7, 16, generator=seeded())
    attention = encoder.transformer1[0].attn  # drops outputs
    assert 0.2 < (attention(x) == 0).float().mean() < 0.8
    attention = encoder.transformer2[0].attn  # drops weights: the first token sees itself, or nothing
    alone = attention.eval()(x)[0, 0]
    drawn = torch.stack([attention.train()(x)[0, 0] for _ in range(20)])
    assert not (drawn == 0).any() and not torch.isclose(drawn, alone).all(dim=1).any()


def test_losses_are_float32_under_autocast():
    model, dtypes = tiny(gan_start_step=0).train(), set()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for terms in all_losses(model, some_images()).values():
            dtypes |= {term.dtype for term in terms.values()}
            sum(terms.values()).backward()
    assert dtypes == {torch.float32}
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in model.parameters())


def test_what_weight_decay_spares():
    model = tiny()
    spared = {name for name, p in model.named_parameters() if p.ndim > 1 and model.no_weight_decay(name, p)}
    assert spared == {
        *("encode_transformer.carrier_tokens", "encode_transformer.pos_embed"),
        *("decode_transformer.position_embedding", "decode_transformer.slot_position_embedding"),
        *("quantize.embedding.weight", "slot_quantize.embedding.weight"),
    }
    assert all(model.no_weight_decay(name, p) for name, p in model.named_parameters() if p.ndim == 1)


def test_a_short_training_learns():
    model, images = tiny(fill=False).train(), F.interpolate(some_images(8, side=2), scale_factor=8.0)
    tokens = model.image_tokens(images)
    model.image_tokens = lambda images: tokens
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    for step in range(60):
        _, terms, watched = next(model.losses({"images": images}, step, seeded()))
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
    alone = 2 * (images - images.mean(dim=0)).square().mean().item()  # what no decoder can do better than without codes
    assert terms["reconstruction"].item() < 0.85 * alone and watched["perplexity"] > 2


# ---- published weights --------------------------------------------------------------------------------------------


def test_published_files_load_strictly(tmp_path):
    model, state = tiny(**OFFICIAL), official_state()
    assert state["slot_quantize.codebook_used"].shape == (65536,)
    before = model.discriminator.main[0].weight.clone()
    raw = {name: tensor + 1 for name, tensor in state.items()}
    torch.save({"model": raw, "ema": state, "discriminator": {}, "steps": 3}, tmp_path / "weights.pt")
    load_official(model, read_official(tmp_path / "weights.pt"))
    assert torch.equal(model.slot_quantize.embedding.weight, state["slot_quantize.embedding.weight"])
    theirs = "encode_transformer.transformer1.layers.1.attn1.to_out.0.bias"
    assert torch.equal(model.encode_transformer.transformer1[1].attn.out_proj.bias, state[theirs])
    theirs = "decode_transformer.transformer.layers.0.ffnet.w12.weight"
    assert torch.equal(model.decode_transformer.transformer[0].mlp.w12.weight, state[theirs])
    assert torch.equal(model.decoder.up[2].block[0].conv1.weight, state["decoder.conv_blocks.0.res.0.conv1.weight"])
    assert torch.equal(model.discriminator.main[0].weight, before)
    named = {our_name(name, 3) for name in state if not name.endswith("codebook_used")}
    assert named == {name for name in model.state_dict() if not name.startswith(model.TRAINING_ONLY)}
    with_backbone = state | {"encode_transformer.backbone.pretrained_encoder.cls_token": torch.ones(1, 1, 4)}
    load_official(tiny(**OFFICIAL), with_backbone)


def test_weights_that_do_not_fit_are_explained():
    model, state = tiny(**OFFICIAL), official_state()
    before = model.encoder.conv_in.weight.clone()
    del state["encode_transformer.norm_pre2.bias"]
    state["encode_transformer.extra"] = state["pre_slots_quant.bias"] = torch.zeros(7)
    with pytest.raises(ValueError) as error:
        load_official(model, state)
    for part in ("missing: encode_transformer.norm_pre2.bias", "unexpected: encode_transformer.extra", "(7,)"):
        assert part in str(error.value)
    assert torch.equal(model.encoder.conv_in.weight, before)
    with pytest.raises(ValueError, match=r"this is Hita-U.*only Hita-V is read"):
        load_official(model, official_state() | {"decode_transformer.mask_embedding": torch.zeros(1, 1, 32)})
