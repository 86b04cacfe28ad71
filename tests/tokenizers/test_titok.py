"""TiTok in two stages: parity with the official code, published sizes, what each stage learns and leaves, weights."""

import math

import pytest
import torch
from torch.nn import functional as F

from tesserae.losses import perceptual
from tesserae.tokenizers.titok import build
from tesserae.tokenizers.titok_weights import load_official, read_official
from tests import golden
from tests.small import TITOK as TINY
from tests.tokenizers.batches import coloured_images, losses_of, reached, with_codes

GOLDEN = golden.load("titok")
PIXELS = ("decoder", "pixel_quantize", "pixel_decoder")  # what the second stage trains


def tiny(**changes):
    torch.manual_seed(0)
    return build(TINY | changes)


# ---- parity -----------------------------------------------------------------------------------------------------


def official_state():
    """Weights under official names, by the rule of golden.fill_by_name."""
    state = golden.state_by_name(GOLDEN["keys"], GOLDEN["fill_scale"])
    state["decoder.ffn.2.weight"] *= 4  # so that some codes are likelier than others
    return state


def official_model(**changes):
    model = build(TINY | GOLDEN["model"] | changes)
    load_official(model, official_state())
    return model


def norms(model, group):
    return {name: p.grad.norm().item() for name, p in model.parameter_groups()[group]}


@torch.no_grad()
def test_official_codes_and_images():
    model = official_model().eval()
    codes = model.encode(coloured_images())
    assert codes.dtype == torch.int64 and codes.tolist() == GOLDEN["codes"]
    pixels = (model.decode(codes) + 1) / 2
    chosen = pixels.flatten()[:: GOLDEN["stride"]]
    torch.testing.assert_close(chosen, torch.tensor(GOLDEN["pixels"]), atol=2e-5, rtol=1e-5)


def test_official_step_of_the_first_stage():
    model, wanted = official_model(learns="codes").train(), GOLDEN["codes_stage"]
    codes = (torch.arange(32).view(2, 16) * 7 + 3) % 24
    group, terms, _ = next(model.losses({"images": coloured_images(), "codes": codes}, 0, torch.Generator()))
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(wanted["terms"], rel=1e-5)
    sum(terms.values()).backward()
    assert norms(model, group) == pytest.approx(wanted["gradients"], rel=2e-3, abs=1e-6)


def test_official_step_of_the_second_stage():
    model, wanted = official_model().train(), GOLDEN["pixels_stage"]
    model.freeze_encoder()
    model.perceptual_loss = lambda a, b: (a - b).abs().mean() / 2  # in place of the official one, which needs a file
    group, terms, _ = next(model.losses({"images": coloured_images()}, 5, torch.Generator()))
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(wanted["terms"], rel=1e-4)
    sum(terms.values()).backward()
    assert norms(model, group) == pytest.approx(wanted["gradients"], rel=2e-3, abs=1e-6)


S, B, L = (
    {"width": 512, "blocks": 8, "heads": 8},
    {"width": 768, "blocks": 12, "heads": 12},
    {"width": 1024, "blocks": 24, "heads": 16},
)
PUBLISHED = [  # encoder, decoder, latent tokens, all of it with a codebook of 49,152 and the proxy's 30,740,483
    (S, 128, 25_818_636, 27_000_832, 65_536, 83_674_639),
    (B, 64, 85_904_652, 88_070_656, 49_152, 204_814_095),
    (B, 57, 85_899_276, 88_065_280, 43_776, 204_797_967),
    (L, 32, 303_410_188, 306_822_144, 32_768, 641_054_735),
]


@pytest.mark.parametrize("row", PUBLISHED, ids=["S-128", "B-64", "B-57", "L-32"])
def test_published_sizes(row):
    size, tokens, encoder, decoder, latent, total = row
    proxy = {"channels": 128, "multipliers": [1, 1, 2, 2, 4], "res_blocks": 2, "codebook_size": 1024, "code_width": 256}
    shape = {"image_size": 256, "patch_size": 16, "codebook_size": 4096, "code_width": 12, "proxy": proxy}
    with torch.device("meta"):
        model = build(TINY | shape | {"encoder": size, "decoder": size, "latent_tokens": tokens})
    found = {}
    for name, p in model.named_parameters():
        found[name.split(".")[0]] = found.get(name.split(".")[0], 0) + p.numel()
    assert found == {
        "latent_tokens": latent,
        "encoder": encoder,
        "decoder": decoder,
        "quantize": 49_152,
        "pixel_quantize": 262_144,
        "pixel_decoder": 30_478_339,
    }
    assert sum(found.values()) == total


# ---- the interface ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "patch", "multipliers", "tokens"), [(16, 4, [1, 1, 2], 6), (24, 8, [1, 1, 1, 1], 3)])
@torch.no_grad()
def test_shapes(side, patch, multipliers, tokens):
    proxy = TINY["proxy"] | {"multipliers": multipliers}
    model = tiny(image_size=side, patch_size=patch, latent_tokens=tokens, proxy=proxy).eval()
    images = with_codes(2, side)["images"]
    codes = model.encode(images)
    assert codes.shape == (2, tokens) == (2, model.tokens) and codes.dtype == torch.int64 and model.vocabulary == 24
    assert codes.min() >= 0 and codes.max() < 24
    assert model(images).logits.shape == (2, 20, side // patch, side // patch)
    assert model.decode(codes).shape == (2, 3, side, side)
    assert torch.equal(codes, model(images).quantized.codes)


def test_the_encoder_mixes_tokens_and_channels():
    """The official reshape: of 6 tokens of 32 channels, read as 32 channels of 6."""
    model = tiny().eval()
    images = with_codes(2)["images"]
    with torch.no_grad():
        patches = model.encoder.patch_embed(images * 0.5 + 0.5).flatten(2).transpose(1, 2)
        _, latents = model.encoder.transform(patches, model.latent_tokens.expand(2, -1, -1))
        flat = model.encoder.ln_post(latents).reshape(2, 32, 6, 1)
        wanted = model.encoder.conv_out(flat)[..., 0].transpose(1, 2)
        torch.testing.assert_close(model.encoder(images * 0.5 + 0.5, model.latent_tokens), wanted)
        straight = F.linear(
            model.encoder.ln_post(latents), model.encoder.conv_out.weight.flatten(1), model.encoder.conv_out.bias
        )
        assert (wanted - straight).abs().max() > 0.01


@torch.no_grad()
def test_certain_predictions_are_what_the_proxy_makes_of_its_codes():
    model = tiny().eval()
    codes = with_codes(2)["codes"].view(2, 4, 4)
    certain = 1000.0 * F.one_hot(codes, 20).permute(0, 3, 1, 2)
    entries = model.pixel_quantize.embedding.weight[codes].permute(0, 3, 1, 2)
    torch.testing.assert_close(model.pixels(certain), model.pixel_decoder(entries))
    even = model.pixels(torch.zeros(2, 20, 4, 4))
    mean = model.pixel_quantize.embedding.weight.mean(0)[None, :, None, None].expand(2, -1, 4, 4)
    torch.testing.assert_close(even, model.pixel_decoder(mean))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image_size": 18}, "side 18 is not divisible by patch side 4"),
        ({"patch_size": 8}, "a patch has 8 pixels a side, a code of the proxy 4"),
        ({"learns": "words"}, "choose codes or pixels"),
        ({"learns": "codes", "gan_start_step": 3}, "a GAN belongs to the stage that learns pixels"),
        ({"gan_start_step": 0, "discriminator": None}, "needs the size of a discriminator"),
        ({"perceptual": "vgg"}, "unknown perceptual loss"),
    ],
)
def test_unusable_settings_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        tiny(**changes)


# ---- the proxy --------------------------------------------------------------------------------------------------


def proxy_weights(**changes):
    """Those of another tokenizer, with an encoder that nobody asks for."""
    other = tiny(proxy=TINY["proxy"] | changes)
    parts = {"quantize": other.pixel_quantize, "decoder": other.pixel_decoder, "encoder": other.encoder}
    return {f"{part}.{name}": x + 1 for part, module in parts.items() for name, x in module.state_dict().items()}


def test_codebook_and_decoder_are_the_proxys():
    model, weights = tiny(learns="codes"), proxy_weights()
    encoder = model.encoder.conv_out.weight.clone()
    model.take_proxy(weights)
    assert torch.equal(model.pixel_quantize.embedding.weight, weights["quantize.embedding.weight"])
    assert torch.equal(model.pixel_decoder.conv_in.weight, weights["decoder.conv_in.weight"])
    assert torch.equal(model.encoder.conv_out.weight, encoder)


@pytest.mark.parametrize("part", [{"codebook_size": 21}, {"channels": 16}, {"res_blocks": 2}])
def test_a_proxy_of_another_shape_is_refused_before_anything_is_copied(part):
    model = tiny(learns="codes")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"the proxy's network is not the one that `pixel_.*make both again"):
        model.take_proxy(proxy_weights(**part))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


# ---- the stages -------------------------------------------------------------------------------------------------


def test_both_stages_have_the_same_weights():
    first, second = tiny(learns="codes"), tiny(gan_start_step=0)
    used = {
        name: tensor.shape for name, tensor in second.state_dict().items() if not name.startswith(second.TRAINING_ONLY)
    }
    assert {name: tensor.shape for name, tensor in first.state_dict().items()} == used


def test_the_first_stage_learns_codes_and_leaves_what_the_proxy_gave():
    model, batch = tiny(learns="codes").train(), with_codes()
    _, terms, watched = next(model.losses(batch, 7, torch.Generator()))
    logits = model(batch["images"]).logits
    assert terms["codes"].item() == pytest.approx(F.cross_entropy(logits, batch["codes"].view(4, 4, 4)).item())
    away = model(batch["images"]).quantized.codebook.item()
    assert terms["quantizer"].item() == pytest.approx(1.25 * away)
    assert watched["predicted"].item() == pytest.approx(
        (logits.argmax(1).flatten(1) == batch["codes"]).float().mean().item()
    )
    assert abs(terms["codes"].item() - math.log(20)) < 1  # nothing is known yet
    assert reached(model, terms) == {"encoder", "decoder", "latent_tokens", "quantize"}
    assert list(model.parameter_groups()) == ["autoencoder"]
    trained = {name.split(".")[0] for name, _ in model.parameter_groups()["autoencoder"]}
    assert trained == {"encoder", "decoder", "latent_tokens", "quantize"}
    assert len(list(model.losses(batch, 7, torch.Generator()))) == 1


def test_the_second_stage_leaves_encoder_codebook_and_latent_tokens():
    model, batch = tiny().train(), with_codes()
    model.freeze_encoder()
    assert {name.split(".")[0] for name, _ in model.parameter_groups()["autoencoder"]} == set(PIXELS)
    terms = losses_of(model, batch)["autoencoder"]
    assert list(terms) == ["reconstruction"]  # neither codebook nor commitment
    assert reached(model, terms) == set(PIXELS)
    codes = model.encode(batch["images"])
    torch.optim.SGD([p for _, p in model.parameter_groups()["autoencoder"]], lr=1.0).step()
    assert torch.equal(codes, model.encode(batch["images"]))


def test_pixel_terms_are_weighted_means():
    weights = TINY["loss_weights"] | {"reconstruction": 2.0, "perceptual": 0.5}
    model, batch, seen = tiny(loss_weights=weights), with_codes(), []
    model.perceptual_loss = lambda *pair: seen.append(pair) or torch.tensor(0.25)
    terms = losses_of(model, batch)["autoencoder"]
    fake = model.pixels(model(batch["images"]).logits)
    wanted = 2 * (fake - (batch["images"] + 1) / 2).square().mean().item()
    assert terms["reconstruction"].item() == pytest.approx(wanted, rel=1e-5)
    assert terms["perceptual"].item() == 0.125
    torch.testing.assert_close(seen[0][0], batch["images"])  # in [-1, 1], target first
    torch.testing.assert_close(seen[0][1], 2 * fake - 1)


def test_gan_waits_for_its_step_and_each_update_moves_its_own_half():
    model, batch = tiny(gan_start_step=5).train(), with_codes()
    early = losses_of(model, batch, step=4)
    assert list(early) == ["autoencoder"] and "gan" not in early["autoencoder"]
    real, fake = (batch["images"] + 1) / 2, model.pixels(model(batch["images"]).logits).detach()
    judged = model.discriminator(real), model.discriminator(fake)
    steps = model.losses(batch, 5, torch.Generator())
    _, terms, _ = next(steps)
    assert list(terms) == ["reconstruction", "gan"]
    assert terms["gan"].item() == pytest.approx(-0.01 * judged[1].mean().item(), rel=1e-4)
    assert "discriminator" not in reached(model, terms)
    _, terms = next(steps)
    assert list(terms) == ["hinge", "lecam"]
    hinge = F.relu(1 - judged[0]).mean() + F.relu(1 + judged[1]).mean()
    assert terms["hinge"].item() == pytest.approx(hinge.item() / 2, rel=1e-5)
    lecam = F.relu(judged[0].mean()).square() + F.relu(-judged[1].mean()).square()  # its means begin at 0
    assert terms["lecam"].item() == pytest.approx(0.001 * lecam.item(), rel=1e-4)
    assert reached(model, terms) == {"discriminator"}
    assert model.lecam.real != 0 and model.lecam.fake != 0


def test_perceptual_network_is_read_at_first_use(monkeypatch):
    assert tiny(perceptual="lite2").perceptual_loss is perceptual.lite2_distance
    model = tiny(perceptual="convnext")
    assert model.perceptual_loss is perceptual.pretrained_convnext
    assert set(model.state_dict()) == set(tiny().state_dict())
    assert tiny(perceptual="convnext", learns="codes").perceptual_loss is None  # which knows no images
    monkeypatch.delenv(perceptual.FOLDER_VARIABLE, raising=False)
    with pytest.raises(FileNotFoundError, match=r"convnext_small-0c510722\.pth") as error:
        losses_of(model, with_codes())
    assert "vgg" not in str(error.value)


def test_positions_of_patches_can_start_as_those_of_a_grid():
    model = tiny()
    model.place_tokens()
    for half, width in ((model.encoder, 32), (model.decoder, 48)):
        placed = half.positional_embedding[1:].view(4, 4, width)
        near = F.cosine_similarity(placed[:, :-1], placed[:, 1:], dim=2).min()
        far = F.cosine_similarity(placed[0, 0], placed[3, 3], dim=0)
        assert near > far


def test_weight_decay_spares_what_the_official_code_spares():
    model = tiny()
    decayed = {name for name, p in model.named_parameters() if not model.no_weight_decay(name, p)}
    assert "encoder.transformer.0.attn.in_proj_weight" in decayed and "decoder.ffn.0.weight" in decayed
    assert "pixel_decoder.conv_in.weight" in decayed and "encoder.conv_out.weight" in decayed
    spared = ("embed", "ln", "norm", "token", ".bias")
    assert not [name for name in decayed if any(word in name for word in spared)]
    assert model.no_weight_decay("decoder.decoder_embed.weight", model.decoder.decoder_embed.weight)


# ---- published weights ------------------------------------------------------------------------------------------


def test_published_weights_come_back_as_they_are(tmp_path):
    torch.save(official_state(), tmp_path / "tokenizer_titok_b64.bin")
    model = build(TINY | GOLDEN["model"])
    load_official(model, read_official(tmp_path / "tokenizer_titok_b64.bin"))
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in official_state().items())


def test_weights_that_do_not_fit_are_explained():
    model, state = build(TINY | GOLDEN["model"]), official_state()
    before = model.encoder.conv_out.weight.clone()
    state["decoder.of_another"] = state.pop("latent_tokens")
    state["quantize.embedding.weight"] = torch.zeros(31, 4)
    with pytest.raises(ValueError) as error:
        load_official(model, state)
    for part in ("missing: latent_tokens", "unexpected: decoder.of_another", "(31, 4) in the file, (32, 4) in the"):
        assert part in str(error.value)
    assert torch.equal(model.encoder.conv_out.weight, before)


def test_other_forms_of_titok_are_refused():
    model, state = build(TINY | GOLDEN["model"]), official_state()
    with pytest.raises(ValueError, match=r"one-stage TiTok.*system concepttok"):
        load_official(model, state | {"decoder.conv_out.weight": torch.zeros(3, 3, 3, 3)})
    first = {name: tensor for name, tensor in state.items() if not name.startswith("pixel_")}
    with pytest.raises(ValueError, match=r"the first stage of a TiTok.*take the file of the second"):
        load_official(model, first)
