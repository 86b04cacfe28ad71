"""ConceptTok, TiTok and TA-TiTok: parity with the official code, published sizes, who reads what, losses, weights."""

import math
from contextlib import nullcontext

import pytest
import torch
from torch import nn

from tesserae.losses.concepts import concept_loss
from tesserae.tokenizers.concepttok import build
from tesserae.tokenizers.concepttok_weights import load_official, read_official
from tesserae.training import weights
from tests import golden
from tests.tokenizers.batches import losses_of

GOLDEN = golden.load("concepttok")
TINY = {
    "image_size": 32,
    "patch_size": 8,
    "latent_tokens": 4,
    "codebook_size": 24,
    "code_width": 6,
    "encoder": {"width": 32, "blocks": 2, "heads": 2},
    "decoder": {"width": 48, "blocks": 1, "heads": 3},
    "text": "encoder",
    "text_width": 8,
    "text_tokens": 5,
    "concepts": 40,
    "clustering": True,
    "commitment": 0.25,
    "perceptual": "none",
    "loss_weights": {"mse": 1.0, "perceptual": 1.1, "quantizer": 1.0, "gan": 0.1, "lecam": 0.001, "concept": 0.1},
    "gan_start_step": None,
    "discriminator": {"channels": 8, "layers": 2},
}
PLAIN = {"text": "none", "text_width": None, "text_tokens": None, "concepts": None}  # TiTok
TEXTS = ("none", "encoder", "decoder")


def tiny(fill=True, **changes):
    torch.manual_seed(0)
    model = build(TINY | changes)
    if fill:
        golden.fill_by_name(model, 0.2)
        model.quantize.embedding.weight.data *= 5  # as large as what is quantised
    return model


def some_batch(size=4, side=32, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return {
        "images": 2 * torch.rand(size, 3, side, side, generator=rng) - 1,
        "text": torch.randn(size, 5, 8, generator=rng),
        "concepts": torch.rand(size, 40, generator=rng).argsort(dim=1)[:, :7],
    }


# ---- parity -----------------------------------------------------------------------------------------------------


def official_state(kind):
    """Weights under official names, by the rule of golden.fill_by_name; buffers are 0."""
    state = golden.state_by_name(GOLDEN[kind]["keys"], GOLDEN["fill_scale"])
    if "quantize.embed_prob" in state:
        state["quantize.embed_prob"].zero_()
    return state


def official_model(kind, **changes):
    text = {"text": "none", "text_width": None, "text_tokens": None} if kind == "titok" else {"text": "decoder"}
    model = build(TINY | GOLDEN["model"] | text | {"concepts": None, "clustering": kind == "tatitok"} | changes)
    load_official(model, official_state(kind))
    return model


def official_batch():
    pixels = (
        golden.seeded_array("pixels", (2, 3, 128, 128), 0.2) + golden.seeded_array("colours", (2, 3, 1, 1), 0.5) + 0.5
    )
    return {"images": 2 * pixels - 1, "text": golden.seeded_array("text", (2, 5, 8))}


@pytest.mark.parametrize("kind", ["titok", "tatitok"])
@torch.no_grad()
def test_official_numbers(kind):
    model, batch, wanted = official_model(kind).eval(), official_batch(), GOLDEN[kind]
    codes = model.encode(batch["images"])
    assert codes.dtype == torch.int64 and codes.tolist() == wanted["codes"]
    pixels = (model.decode(codes, batch["text"]) + 1) / 2
    chosen = pixels.flatten()[:: GOLDEN["stride"]]
    torch.testing.assert_close(chosen, torch.tensor(wanted["pixels"]), atol=2e-5, rtol=1e-5)


def test_official_training_step():
    discriminator = {"gan_start_step": 5, "discriminator": {"channels": 32, "layers": 3}}
    model, batch, wanted = official_model("tatitok", **discriminator).train(), official_batch(), GOLDEN["step"]
    golden.fill_by_name(model.discriminator, 0.1)
    model.lecam.real.fill_(0.3)
    model.lecam.fake.fill_(-0.2)
    model.perceptual_loss = lambda a, b: (a - b).abs().mean() / 2  # in place of the official one, which needs files
    steps = model.losses(batch, 5, torch.Generator())
    group, terms, _ = next(steps)
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(wanted["terms"], rel=1e-4)
    sum(terms.values()).backward()
    model.after_backward(group, {name: x[None] for name, x in model.collected(group).items()})
    found = {name: p.grad.norm().item() for name, p in model.parameter_groups()[group]}
    assert found == pytest.approx(wanted["gradients"], rel=2e-3, abs=1e-6)
    torch.testing.assert_close(model.quantize.embed_prob, torch.tensor(wanted["embed_prob"]), atol=1e-7, rtol=1e-5)
    entries = model.quantize.embedding.weight.detach().flatten()
    torch.testing.assert_close(entries, torch.tensor(wanted["codebook"]), atol=2e-5, rtol=1e-5)
    group, terms = next(steps)
    sum(terms.values()).backward()
    found = {name.removeprefix("discriminator."): p.grad.norm().item() for name, p in model.parameter_groups()[group]}
    assert found == pytest.approx(wanted["discriminator_gradients"], rel=2e-3)
    first = wanted["discriminator"][0]
    assert sum(terms.values()).item() == pytest.approx(first["total"], rel=1e-4)
    assert terms["lecam"].item() == pytest.approx(first["lecam"], rel=1e-4)


S, B, L = (
    {"width": 512, "blocks": 8, "heads": 8},
    {"width": 768, "blocks": 12, "heads": 12},
    {"width": 1024, "blocks": 24, "heads": 16},
)
PUBLISHED = [  # encoder, decoder, latent tokens; encoder without text, text, decoder, latent tokens, head, all of it
    (S, S, 64, 25_812_544, 433_152, 25_813_844, 32_768, 12_607_488, 65_224_084),
    (B, B, 64, 85_944_640, 649_728, 85_946_196, 49_152, 18_898_944, 192_012_948),
    (B, L, 32, 85_920_064, 649_728, 303_465_300, 24_576, 18_898_944, 409_482_900),
    (B, L, 64, 85_944_640, 649_728, 303_498_068, 49_152, 18_898_944, 409_564_820),
    (B, L, 128, 85_993_792, 649_728, 303_563_604, 98_304, 18_898_944, 409_728_660),
]


@pytest.mark.parametrize("row", PUBLISHED, ids=["S-S-64", "B-B-64", "B-L-32", "B-L-64", "B-L-128"])
def test_published_sizes(row):
    encoder, decoder, tokens, seen, read, decoded, latent, head, total = row
    shape = {"image_size": 256, "patch_size": 16, "codebook_size": 8192, "code_width": 64, "concepts": 24_576}
    text = {"text_width": 768, "text_tokens": 77}

    def parts(**changes):
        with torch.device("meta"):
            sizes = {"encoder": encoder, "decoder": decoder, "latent_tokens": tokens}
            model = build(TINY | shape | sizes | text | changes)
        found = {}
        for name, p in model.named_parameters():
            found[name.split(".")[0]] = found.get(name.split(".")[0], 0) + p.numel()
        return found

    rest = {"decoder": decoded, "latent_tokens": latent, "quantize": 524_288}
    assert parts() == {"encoder": seen + read, "concept_head": head, **rest}
    assert sum(parts().values()) == total
    assert parts(text="none", concepts=None) == {"encoder": seen, **rest}
    assert parts(concepts=None) == {"encoder": seen + read, **rest}
    text_at_decoder = decoder["width"] * (768 + 1 + 77)
    assert parts(text="decoder", concepts=None) == {"encoder": seen, **rest, "decoder": decoded + text_at_decoder}


# ---- official weights -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clustering", [True, False])
@pytest.mark.parametrize("given", [True, False])
def test_frequencies_of_codes_may_be_there_or_not(clustering, given, tmp_path):
    state = official_state("tatitok")
    state["quantize.embed_prob"] += 0.25
    if not given:
        del state["quantize.embed_prob"]
    torch.save(state, tmp_path / "weights.bin")
    model = build(TINY | GOLDEN["model"] | {"text": "decoder", "concepts": None, "clustering": clustering})
    assert load_official(model, read_official(tmp_path / "weights.bin")) == (given and not clustering)
    assert torch.equal(model.decoder.text_guidance_proj.weight, state["decoder.text_guidance_proj.weight"])
    if clustering:
        assert (model.quantize.embed_prob == (0.25 if given else 0)).all()


def test_weights_that_do_not_fit_are_explained():
    model = build(TINY | GOLDEN["model"])
    before = model.encoder.conv_out.weight.clone()
    with pytest.raises(ValueError) as error:
        load_official(model, official_state("tatitok"))
    for part in (
        "missing: concept_head.weight",
        "missing: encoder.text_guidance_proj.weight",
        "unexpected: decoder.text_guidance_positional_embedding",
    ):
        assert part in str(error.value)
    assert torch.equal(model.encoder.conv_out.weight, before)


@pytest.mark.parametrize(
    "name", ["pixel_quantize.embedding.weight", "pixel_decoder.conv_in.bias", "decoder.ffn.2.bias"]
)
def test_two_stage_files_are_refused(name):
    with pytest.raises(ValueError, match="two-stage TiTok"):
        load_official(build(TINY | GOLDEN["model"] | PLAIN), official_state("titok") | {name: torch.zeros(3)})


# ---- the interface ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "patch", "tokens"), [(32, 8, 4), (48, 16, 3), (16, 4, 9)])
@pytest.mark.parametrize("text", TEXTS)
def test_shapes(side, patch, tokens, text):
    model, batch = tiny(image_size=side, patch_size=patch, latent_tokens=tokens, text=text).eval(), some_batch(2, side)
    codes = model.encode(batch["images"], text=batch["text"])
    assert codes.shape == (2, tokens) and codes.dtype == torch.int64 and model.vocabulary == 24
    assert codes.min() >= 0 and codes.max() < 24
    assert model.decode(codes, batch["text"]).shape == (2, 3, side, side)
    assert model.latents(batch["images"], batch["text"]).shape == (2, tokens, 32)
    assert model.concept_logits(batch["images"], batch["text"]).shape == (2, 40)


def reads(prompt):
    """The context of a call with prompts of a wrong shape."""
    return pytest.raises(ValueError, match=r"\(4, 5, 8\)") if prompt else nullcontext()


@torch.no_grad()
def test_who_reads_the_prompt():
    batch = some_batch()
    images, text, other = batch["images"], batch["text"], batch["text"].flip(0)
    for reader in TEXTS:
        model = tiny(text=reader).eval()
        codes = model.encode(images, text=text)
        assert torch.equal(codes, model.encode(images, text=other)) == (reader != "encoder")
        assert torch.equal(model.decode(codes, text), model.decode(codes, other)) == (reader != "decoder")
        for wrong in (None, text[:, :1], text[:1], text[..., :4]):
            with reads(reader == "encoder"):
                model.encode(images, text=wrong)
            with reads(reader == "decoder"):
                model.decode(codes, wrong)


@torch.no_grad()
def test_codes_are_those_of_training():
    model, batch = tiny().eval(), some_batch()
    output = model(batch["images"], batch["text"])
    codes = model.encode(batch["images"], text=batch["text"], rng=torch.Generator())
    assert torch.equal(codes, output.quantized.codes)
    torch.testing.assert_close(model.decode(codes), 2 * output.pixels - 1, atol=2e-5, rtol=1e-5)
    assert torch.equal(model.latents(batch["images"], batch["text"]), output.latents)


@torch.no_grad()
def test_concepts_are_named_by_the_mean_latent():
    model, batch = tiny().eval(), some_batch()
    latents = model.latents(batch["images"], batch["text"])
    found = model.concept_logits(batch["images"], batch["text"])
    torch.testing.assert_close(found, model.concept_head(latents).mean(dim=1), atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="concept head"):
        tiny(concepts=None).concept_logits(batch["images"], batch["text"])


@torch.no_grad()
def test_pixels_stand_where_their_patch_does():
    model = tiny(**PLAIN).eval()
    last = model.decoder.ffn[0]
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    last.bias.view(8, 8, 3)[1, 2, 0] = 1.0  # row 1, column 2, red of every patch
    nn.init.dirac_(model.decoder.conv_out.weight)
    nn.init.zeros_(model.decoder.conv_out.bias)
    pixels = (model.decode(torch.zeros(1, 4, dtype=torch.int64))[0] + 1) / 2
    assert pixels.sum().item() == 16 and pixels[0, 1::8, 2::8].sum().item() == 16


@torch.no_grad()
def test_latents_see_every_patch():
    model, images = tiny(**PLAIN).eval(), some_batch(1)["images"]
    latents = model.latents(images)
    for row, column in ((0, 0), (3, 1)):
        changed = images.clone()
        changed[:, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] *= -1
        assert (model.latents(changed) - latents).abs().amax(dim=2).min() > 1e-4


def test_weights_are_saved_without_what_only_training_needs(tmp_path):
    model = tiny(gan_start_step=0).eval()
    spec = TINY | {"gan_start_step": 0}
    kept = weights.used(model, model.state_dict())
    assert {name.split(".")[0] for name in kept} == {"encoder", "decoder", "latent_tokens", "quantize", "concept_head"}
    weights.save(tmp_path / "weights.safetensors", kept, "tesserae.tokenizers.concepttok", spec)
    again, batch = weights.load(tmp_path / "weights.safetensors"), some_batch()
    codes = model.encode(batch["images"], text=batch["text"])
    assert torch.equal(again.encode(batch["images"], text=batch["text"]), codes)


def test_initialisation():
    size = {"width": 256, "blocks": 1, "heads": 4}
    model = tiny(fill=False, encoder=size, decoder=size, concepts=500, gan_start_step=0)
    block = model.encoder.transformer[0]
    for weight in (block.mlp.c_fc.weight, block.attn.out_proj.weight, model.concept_head.weight):
        assert weight.std().item() == pytest.approx(0.02, rel=0.03)
    assert block.attn.in_proj_weight.std().item() == pytest.approx((2 / (4 * 256)) ** 0.5, rel=0.03)  # Xavier's
    for tokens in (model.encoder.positional_embedding, model.decoder.positional_embedding):
        assert tokens.std().item() == pytest.approx(1 / 16, rel=0.1)
    assert not any(p.any() for name, p in model.decoder.named_parameters() if name.endswith("bias"))
    assert model.quantize.embedding.weight.abs().max().item() <= 1 / 24
    assert model.discriminator.block_in[0].bias.any()  # PyTorch's own


def test_unusable_settings_are_refused():
    for changes in (
        {"patch_size": 5},
        {"text": "both"},
        {"text_width": None},
        {"perceptual": "vgg"},
        {"gan_start_step": 0, "discriminator": None},
    ):
        with pytest.raises(ValueError):
            build(TINY | changes)
    with pytest.raises(ValueError, match="no stage"):
        tiny().freeze_encoder()


# ---- losses -----------------------------------------------------------------------------------------------------


def test_terms_are_weighted():
    scales = {"mse": 2.0, "perceptual": 1.1, "quantizer": 3.0, "gan": 0.0, "lecam": 0.0, "concept": 0.5}
    model, batch = tiny(loss_weights=scales).train(), some_batch()
    seen = []
    model.perceptual_loss = lambda *pair: seen.append(pair) or (pair[0] - pair[1]).abs().max()
    terms = losses_of(model, batch)["autoencoder"]
    output, pixels = model(batch["images"], batch["text"]), (batch["images"] + 1) / 2
    quantized = output.quantized
    wanted = {
        "mse": 2 * (output.pixels - pixels).square().mean(),
        "perceptual": 1.1 * 2 * (output.pixels - pixels).abs().max(),
        "quantizer": 3 * 1.25 * quantized.commitment,
        "concept": 0.5 * concept_loss(model.concept_head(output.latents.mean(dim=1)), batch["concepts"]),
    }
    assert list(terms) == list(wanted)
    for name, value in wanted.items():
        assert terms[name].item() == pytest.approx(value.item(), rel=1e-5)
    assert torch.equal(seen[0][0], batch["images"])  # in [-1, 1], target first


def test_the_perceptual_loss_is_of_both_networks(monkeypatch):
    assert tiny(perceptual="lpips+convnext").perceptual_loss.__name__ == "pretrained_perceptual_loss"
    assert tiny(perceptual="lite2").perceptual_loss.__name__ == "lite2_distance"
    silent = TINY["loss_weights"] | {"perceptual": 0.0}
    assert tiny(perceptual="lpips+convnext", loss_weights=silent).perceptual_loss is None


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("concepts", [40, None])
def test_gradients_reach_every_parameter(text, concepts):
    model = tiny(text=text, concepts=concepts, gan_start_step=0).train()
    for group, terms in losses_of(model, some_batch()).items():
        model.zero_grad()
        sum(terms.values()).backward()
        assert [name for name, p in model.parameter_groups()[group] if p.grad is None or not p.grad.any()] == []


def test_concepts_reach_the_encoder_and_their_head_only():
    model = tiny().train()
    losses_of(model, some_batch())["autoencoder"]["concept"].backward()
    reached = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert {name.split(".")[0] for name in reached} == {"encoder", "latent_tokens", "concept_head"}
    assert not any(name.startswith("encoder.conv_out") for name in reached)


def test_the_concept_loss_starts_near_the_logarithm_of_the_dictionary():
    model = tiny(fill=False, concepts=5000).train()
    term = losses_of(model, some_batch())["autoencoder"]["concept"]
    assert term.item() / 0.1 == pytest.approx(math.log(5000), abs=0.1)


def test_gan_waits_for_its_step_and_each_update_moves_its_own_half():
    model, batch = tiny(gan_start_step=5).train(), some_batch()
    assert list(losses_of(model, batch, step=4)) == ["autoencoder"]
    reached = {}
    for group, terms, *_ in model.losses(batch, 5, torch.Generator()):
        model.zero_grad(set_to_none=True)
        sum(terms.values()).backward()
        reached[group] = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None}
    model_parts = {"encoder", "decoder", "latent_tokens", "quantize", "concept_head"}
    assert reached == {"autoencoder": model_parts, "discriminator": {"discriminator"}}
    assert all(p.requires_grad for p in model.discriminator.parameters())
    score = -model.discriminator(model(batch["images"], batch["text"]).pixels).mean()
    assert losses_of(model, batch, 5)["autoencoder"]["gan"].item() == pytest.approx(0.1 * score.item(), rel=1e-4)
    assert model.lecam.real.item() != 0 != model.lecam.fake.item()


def test_the_codebook_is_watched():
    model, batch = tiny().train(), some_batch()
    _, terms, watched = next(model.losses(batch, 0, torch.Generator()))
    codes = model.encode(batch["images"], text=batch["text"])
    assert watched["usage"].item() == pytest.approx(len(codes.unique()) / 24)
    assert 1 <= watched["perplexity"].item() <= len(codes.unique())
    assert not terms.keys() & watched.keys() and not any(value.requires_grad for value in watched.values())


def test_losses_are_float32_under_autocast():
    model = tiny(gan_start_step=0).train()
    dtypes = set()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for terms in losses_of(model, some_batch()).values():
            dtypes |= {term.dtype for term in terms.values()}
            sum(terms.values()).backward()
    assert dtypes == {torch.float32}
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in model.parameters())


def test_the_codebook_is_renewed_by_all_shares():
    batch = some_batch()
    whole, halves, alone = tiny().train(), tiny().train(), tiny().train()
    parts = [{name: x[i : i + 2] for name, x in batch.items()} for i in (0, 2)]
    for model, microbatches in ((whole, [batch]), (halves, parts), (alone, parts[:1])):
        collected = []
        for microbatch in microbatches:
            losses_of(model, microbatch)
            collected.append(model.collected("autoencoder"))
        model.after_backward("autoencoder", {name: torch.stack([c[name] for c in collected]) for name in collected[0]})
        assert model.collected("discriminator") == {}
        before = model.quantize.embedding.weight.clone()
        model.after_backward("discriminator", {})
        assert torch.equal(before, model.quantize.embedding.weight)
    torch.testing.assert_close(halves.quantize.embedding.weight, whole.quantize.embedding.weight, atol=1e-5, rtol=0)
    torch.testing.assert_close(halves.quantize.embed_prob, whole.quantize.embed_prob)
    assert (alone.quantize.embedding.weight - whole.quantize.embedding.weight).abs().max() > 1e-2


def test_groups_and_weight_decay():
    model = tiny(gan_start_step=0)
    groups = model.parameter_groups()
    assert list(groups) == ["autoencoder", "discriminator"] and list(tiny().parameter_groups()) == ["autoencoder"]
    assert sum(map(len, groups.values())) == len(list(model.parameters()))
    decayed = {name for name, p in model.named_parameters() if not model.no_weight_decay(name, p)}
    assert {name for name in decayed if not name.startswith("discriminator.")} == {
        "encoder.text_guidance_proj.weight",
        "encoder.conv_out.weight",
        "decoder.ffn.0.weight",
        "decoder.conv_out.weight",
        "concept_head.weight",
        *(
            f"{half}.transformer.{i}.{part}"
            for half, blocks in (("encoder", 2), ("decoder", 1))
            for i in range(blocks)
            for part in ("attn.in_proj_weight", "attn.out_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")
        ),
    }
    assert {name for name in decayed if name.startswith("discriminator.")} == {
        f"discriminator.{part}.weight"
        for part in ("block_in.0", "blocks.0.0", "blocks.1.0", "to_logits.0", "to_logits.2")
    }


def test_a_short_training_learns():
    model = tiny(fill=False, clustering=False).train()
    batch = some_batch(8, side=1) | {"concepts": some_batch(8)["concepts"]}
    batch["images"] = batch["images"].expand(-1, -1, 32, 32)  # plain colours
    optimizer = torch.optim.AdamW(model.parameters(), 4e-3)
    for step in range(250):
        terms = losses_of(model, batch, step)["autoencoder"]
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
    pixels = (batch["images"] + 1) / 2
    alone = (pixels - pixels.mean(dim=0)).square().mean().item()  # what no decoder can do better than without codes
    assert terms["mse"].item() < 0.5 * alone
    assert terms["concept"].item() / 0.1 < math.log(7) + 0.5  # from ln 40
