"""TaTok: sizes, rows of codes of different length, both layouts, what learns from what, losses, a budget's epsilon."""

from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from tesserae.contracts import check_tokenizer
from tesserae.costs.networks import coding, training
from tesserae.encoders import dinov2_registers
from tesserae.losses.adversarial import hinge_loss
from tesserae.nn.first_weights import start_narrow
from tesserae.tokenizers import tatok_filtering as dtf
from tesserae.tokenizers.tatok import NO_CODE, Quantizer, build
from tesserae.training import weights
from tests import golden
from tests.small import TATOK as TINY
from tests.small import TATOK_FILTERING as FILTERING
from tests.tokenizers.batches import all_losses, seeded

CNN = {"substrate": "hita_cnn", "network": {"channels": 4, "multipliers": [1, 1, 2], "res_blocks": 1}}
PAPER = TINY | {
    "image_size": 336,
    "patch_size": 16,
    "global_tokens": 16,
    "codebook_size": 4096,
    "patch_code_width": 8,
    "global_code_width": 12,
    "encoder": {"width": 512, "blocks": 6, "heads": 8},
    "decoder": {"width": 512, "blocks": 3, "heads": 8},
    "thumbnail": 8,
}
HITA = {"substrate": "hita_cnn", "network": {"channels": 128, "multipliers": [1, 1, 2, 2, 4], "res_blocks": 2}}
M, K = 16, 3


def tiny(fill=True, *, filtering=None, **changes):
    torch.manual_seed(0)
    model = build(TINY | {"filtering": FILTERING | (filtering or {})} | changes)
    if fill:
        golden.fill_by_name(model, 0.3)
    return model


def some_images(count=4, side=16, seed=0):
    """Every second one has a flat half."""
    images = 2 * torch.rand(count, 3, side, side, generator=seeded(seed)) - 1
    images[::2, :, side // 2 :] = 0.25
    return images


# ---- sizes --------------------------------------------------------------------------------------------------------


def on_paper(**changes):
    with torch.device("meta"):
        return build(PAPER | changes)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, 30_097_448),
        ({"encoder": {"width": 512, "blocks": 3, "heads": 8}}, 20_640_296),
        (HITA, 103_417_175),
        ({"layout": "literal"}, 30_097_448 - 8_192),
        ({"global_tokens": 0}, 30_097_448 - 2 * 8_192 - 6_156 - 6_656 - 49_152 - 362_176),
    ],
)
def test_parameters_of_the_paper(changes, wanted):
    assert sum(p.numel() for p in on_paper(**changes).parameters()) == wanted


def test_parameters_by_part():
    model = on_paper(gan_start_step=0, discriminator={"channels": 64, "layers": 3})
    found = {}
    for name, parameter in model.named_parameters():
        part = name.split(".")[0]
        found[part] = found.get(part, 0) + parameter.numel()
    assert found == {
        "patch_embed": 393_728,
        "enc_pos": 225_792,
        "queries": 8_192,
        "enc": 18_914_304,
        "enc_ln_pre": 1_024,
        "enc_ln_post": 1_024,
        "q_patch": 4_104 + 4_608 + 32_768,
        "q_glob": 6_156 + 6_656 + 49_152,
        "mask_token": 512,
        "dec_pos": 225_792,
        "dec_gpos": 8_192,
        "dec": 9_457_152,
        "dec_ln_pre": 1_024,
        "dec_ln_post": 1_024,
        "to_pixels": 393_984,
        "conv_out": 84,
        "glob_head": 362_176,
        "discriminator": 2_765_633,
    }
    shapes = {name: tuple(x.shape) for name, x in model.state_dict().items()}
    assert shapes["q_glob.in.weight"] == (12, 512) and shapes["q_patch.embedding.weight"] == (4096, 8)
    assert shapes["enc.5.attn.in_proj_weight"] == (1536, 512) and shapes["dec.2.mlp.c_fc.weight"] == (2048, 512)
    convolutions = on_paper(**HITA)
    parts = [sum(p.numel() for p in part.parameters()) for part in (convolutions.patch_embed, convolutions.to_image)]
    assert parts == [30_478_080, 43_629_443]


def test_initialisation():
    width = {"width": 128, "blocks": 1, "heads": 2}
    model = tiny(fill=False, encoder=width, decoder=width, gan_start_step=0, discriminator={"channels": 8, "layers": 1})
    block = model.enc[0]
    for weight in (block.mlp.c_fc.weight, block.attn.out_proj.weight, model.to_pixels.weight):
        assert weight.std().item() == pytest.approx(0.02, rel=0.05)
    for tokens in (model.enc_pos, model.dec_pos):
        assert tokens.std().item() == pytest.approx(128**-0.5, rel=0.1)
    assert model.q_patch.embedding.weight.abs().max().item() <= 1 / 24
    assert not model.conv_out.weight.any() and not model.conv_out.bias.any()
    start_narrow(model)  # first weights of the small scales
    assert not model.conv_out.weight.any()
    rows = model.enc_pos @ model.enc_pos.T
    assert rows[0, 1] > rows[0, 3] and rows[0, 4] > rows[0, 12]  # neighbours are alike


# ---- parity -------------------------------------------------------------------------------------------------------


def test_codebooks_are_those_of_hita():
    """Codes, losses and gradients of its official code. (Blocks and convolutions: see TiTok's and LlamaGen's tests.)"""
    wanted = golden.load("tatok")
    quantizer = Quantizer(24, 6, 6, 0.25)
    golden.fill_by_name(quantizer)
    quantizer.embedding.weight.data = golden.seeded_array("codebook", (24, 6))
    quantizer.get_submodule("in").weight.data = torch.eye(6)
    quantizer.get_submodule("in").bias.data.zero_()
    vectors = golden.seeded_array("vectors", (2, 9, 6)).requires_grad_()
    found = quantizer.of(vectors)
    assert found.codes.tolist() == wanted["codes"]
    assert found.distances.mean().item() == pytest.approx(wanted["loss"], rel=1e-5)
    (found.distances.mean() + (found.vectors * golden.seeded_array("pull", (2, 9, 6))).sum()).backward()
    assert quantizer.embedding.weight.grad.norm().item() == pytest.approx(wanted["entry_gradient"], rel=1e-5)
    assert vectors.grad.norm().item() == pytest.approx(wanted["vector_gradient"], rel=1e-5)


# ---- codes --------------------------------------------------------------------------------------------------------

LENGTHS = {
    "epsilon": {},
    "budget": {"length": "budget", "budget": 9.0},
    "all": {"length": "all"},
    "rest": {"length": "rest"},
    "truncated": {"length": "truncated"},
}


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("changes", [{}, {"global_tokens": 0}, CNN], ids=["vit", "no-globals", "cnn"])
@torch.no_grad()
def test_shapes(length, changes):
    model, images = tiny(filtering=LENGTHS[length], **changes).eval(), some_images()
    k = changes.get("global_tokens", K)
    codes = model.encode(images)
    assert codes.shape == (4, k + M) == (4, model.tokens) and codes.dtype == torch.int64 and model.vocabulary == 24
    assert codes.max() < 24 and codes.min() >= NO_CODE and (codes[:, :k] >= 0).all()
    lengths = model.lengths(codes)
    assert torch.equal(lengths, (codes >= 0).sum(1)) and (lengths > k).all()
    if length in ("all", "truncated"):
        assert (lengths == k + M).all()
    elif length == "rest":
        assert (lengths == M).all()
    elif length == "epsilon":
        assert len(lengths.unique()) > 1
    rebuilt = model.decode(codes)
    assert rebuilt.shape == images.shape and rebuilt.isfinite().all()
    assert torch.equal(codes, model.encode(images))


@pytest.mark.parametrize("layout", ["grid", "literal"])
@torch.no_grad()
def test_an_image_is_coded_and_decoded_alike_in_any_company(layout):
    """Of whatever length its neighbours in the batch are."""
    model, images = tiny(layout=layout).eval(), some_images(6)
    codes, rebuilt = model.encode(images), model.decode(model.encode(images))
    assert len(model.lengths(codes).unique()) > 1
    for i in range(6):
        assert torch.equal(model.encode(images[i : i + 1]), codes[i : i + 1])
        torch.testing.assert_close(model.decode(codes[i : i + 1])[0], rebuilt[i], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layout", ["grid", "literal"])
@pytest.mark.parametrize("changes", [{}, {"order": "random"}, {"order": "last"}, {"straight_through": True}])
@torch.no_grad()
def test_codes_are_those_of_training(layout, changes):
    model, images = tiny(layout=layout, filtering=changes).eval(), some_images()
    output, codes = model(images), model.encode(images)
    torch.testing.assert_close(model.decode(codes), output.images, atol=2e-5, rtol=1e-5)
    assert torch.equal(codes[:, :K], output.global_tokens.codes)
    kept, patches = output.filtered.kept, codes[:, K:]
    assert torch.equal(patches[patches >= 0], output.patches.codes[kept])  # both in raster order
    if layout == "grid":
        assert torch.equal(patches >= 0, kept)
    else:
        assert codes.shape == (4, M) and torch.equal(patches >= 0, torch.arange(M - K) < kept.sum(1)[:, None])


@torch.no_grad()
def test_scores_are_those_of_the_residual_stream():
    model, images = tiny().eval(), some_images()
    residual = model.encoded(images).residual
    scores = dtf.scores(residual[:, K:], residual[:, :K], images, "patch_rate")
    ranking = dtf.rank(scores)
    kept = dtf.first_of(ranking.order, dtf.lengths(ranking.cumulative, 0.3))
    assert torch.equal(model.filtered(images, residual).kept, kept)
    normed = model.enc_ln_post(residual)
    assert torch.equal(normed[:, K:], model.encoded(images).patches) and not torch.allclose(normed, residual)


@torch.no_grad()
def test_only_kept_codes_matter():
    model = tiny().eval()
    codes = torch.randint(24, (2, model.tokens), generator=seeded(3))
    codes[:, 7] = NO_CODE
    rebuilt = model.decode(codes)
    for place in (0, 4, K + M - 1):
        other = codes.clone()
        other[:, place] = (other[:, place] + 5) % 24
        assert (model.decode(other) - rebuilt).abs().amax((1, 2, 3)).min() > 1e-5
    dropped = codes.clone()
    dropped[:, 12] = NO_CODE
    assert (model.decode(dropped) - rebuilt).abs().max() > 1e-5


@torch.no_grad()
def test_pixels_stand_where_their_patch_does():
    model = tiny().eval()
    for parameter in (model.to_pixels.weight, model.to_pixels.bias, model.conv_out.weight, model.conv_out.bias):
        parameter.zero_()
    model.to_pixels.bias.view(4, 4, 3)[1, 2, 0] = 1.0  # row 1, column 2, red of every patch
    rebuilt = model.decode(torch.zeros(1, model.tokens, dtype=torch.int64))[0]
    assert rebuilt.sum().item() == M and rebuilt[0, 1::4, 2::4].sum().item() == M
    model.conv_out.weight[0, 0, 1, 1] = 2.0  # beside what the linear layer says
    assert model.decode(torch.zeros(1, model.tokens, dtype=torch.int64))[0].sum().item() == 3 * M


def test_rows_of_another_tokenizer_are_refused():
    with pytest.raises(ValueError, match=r"rows of 16 codes, and this tokenizer reads 19 .*its own recipe"):
        tiny().decode(torch.zeros(2, M, dtype=torch.int64))


@torch.no_grad()
def test_random_choices_are_fresh_only_with_a_generator():
    images = some_images()
    model = tiny(filtering={"order": "random"}).eval()
    again = model.encode(images)
    assert torch.equal(model.encode(images), again)
    rng = seeded(1)
    drawn = model.encode(images, rng=rng)
    assert not torch.equal(drawn, again) and not torch.equal(drawn, model.encode(images, rng=rng))
    assert torch.equal(model.lengths(drawn), model.lengths(again))
    cut = tiny(filtering={"length": "truncated"}).eval()
    assert model.lengths(cut.encode(images, rng=seeded(0))).min() < K + M


@torch.no_grad()
def test_what_stages_ask_of_its_patches():
    model, images = tiny().eval(), some_images()
    check_tokenizer(model)
    codes, every = model.encode(images), model.all_codes(images)
    assert (every >= 0).all() and torch.equal(codes, every.where(codes >= 0, NO_CODE))
    assert model.places == M and {name: len(range(19)[part]) for name, part in model.codebooks.items()} == {
        "global": K,
        "patch": M,
    }
    scores = model.scores(images)
    assert scores.dtype == torch.float32 and scores.min() >= 0
    assert torch.equal(model.keeps(scores, 0.3), codes[:, K:] >= 0)  # its own epsilon
    for one, other in pairwise((0.05, 0.1, 0.3, 0.6)):
        larger, smaller = model.keeps(scores, one), model.keeps(scores, other)
        assert (smaller <= larger).all() and smaller.sum() < larger.sum()
    for order in dtf.ORDERS:
        again = model.encode_by(images, order)
        alone = tiny(filtering={"order": order}).eval()
        assert torch.equal(again, alone.encode(images)) and torch.equal(model.lengths(again), model.lengths(codes))
    patches = tiny(global_tokens=0, filtering={"length": "all"}).eval()
    check_tokenizer(patches)
    assert list(patches.codebooks) == ["patch"] and patches.scores(images).shape == (4, M)
    assert tiny(layout="literal").places == 0  # its rows tell nothing of where a patch belongs


def test_weights_are_saved_without_what_only_training_needs(tmp_path):
    spec = {"filtering": LENGTHS["budget"], "gan_start_step": 0, "discriminator": {"channels": 8, "layers": 1}}
    model = tiny(**spec).eval()
    model.epsilon.fill_(0.625)
    kept = weights.used(model, model.state_dict())
    assert "epsilon" in kept and not {name for name in kept if name.startswith(model.TRAINING_ONLY)}
    whole = TINY | spec | {"filtering": FILTERING | LENGTHS["budget"]}
    weights.save(tmp_path / "weights.safetensors", kept, "tesserae.tokenizers.tatok", whole)
    again = weights.load(tmp_path / "weights.safetensors")
    assert again.epsilon == 0.625
    assert torch.equal(again.encode(some_images()), model.encode(some_images()))


# ---- losses -------------------------------------------------------------------------------------------------------


def test_terms():
    scale = {"reconstruction": 2.0, "commitment": 3.0, "glob": 0.5, "perceptual": 0.1, "gan": 0.0}
    model, images = tiny(loss_weights=scale).train(), some_images()
    model.perceptual_loss = lambda a, b: (a - b).abs().max()
    output, terms = model(images), all_losses(model, images)["autoencoder"]
    assert terms["reconstruction"].item() == pytest.approx(2 * F.mse_loss(output.images, images).item(), rel=1e-5)
    assert terms["perceptual"].item() == pytest.approx(0.1 * (images - output.images).abs().max().item(), rel=1e-5)
    pulls = 0.0
    _, of_image, patches = model.encoded(images)
    for quantizer, tokens, kept in (
        (model.q_patch, patches, output.filtered.kept),
        (model.q_glob, of_image, torch.ones(4, K, dtype=torch.bool)),
    ):
        u = F.normalize(quantizer.get_submodule("in")(tokens), dim=2)
        e = F.normalize(quantizer.embedding.weight, dim=1)
        nearest = (u[:, :, None] - e).square().sum(3).min(2).values / u.shape[2]
        pulls += 1.25 * nearest[kept].mean().item()  # only of what is kept
    assert terms["commitment"].item() == pytest.approx(3 * pulls, rel=1e-4)
    thumbnails = F.interpolate(images, 2, mode="area").flatten(1)
    predicted = model.glob_head(output.global_embeddings).mean(1)
    assert terms["global"].item() == pytest.approx(0.5 * F.mse_loss(predicted, thumbnails).item(), rel=1e-5)
    assert set(all_losses(tiny(global_tokens=0), images)["autoencoder"]) == {"reconstruction", "commitment"}


def test_adversarial_terms():
    model, images = tiny(gan_start_step=5, discriminator={"channels": 8, "layers": 1}).train(), some_images()
    assert set(all_losses(model, images, 4)) == {"autoencoder"}
    steps = model.losses({"images": images}, 5, seeded())
    group, terms, _ = next(steps)
    fake = model(images).images
    wanted = 0.5 * F.softplus(-model.discriminator(fake)).mean().item()
    assert group == "autoencoder" and terms["gan"].item() == pytest.approx(wanted, rel=1e-4)
    sum(terms.values()).backward()
    assert all(p.grad is None for p in model.discriminator.parameters()) and model.enc_pos.grad is not None
    group, terms = next(steps)
    judged = model.discriminator(images), model.discriminator(fake.detach())
    assert group == "discriminator" and terms["hinge"].item() == pytest.approx(
        0.5 * hinge_loss(*judged).item(), rel=1e-4
    )


def test_vfm_target(monkeypatch):
    token = golden.seeded_array("token", (4, dinov2_registers.WIDTH))
    monkeypatch.setattr(dinov2_registers, "class_token", lambda images: token)
    model, images = tiny(global_target="vfm").train(), some_images()
    predicted = model.glob_head(model(images).global_embeddings).mean(1)
    wanted = (1 - F.cosine_similarity(predicted, token)).mean().item()
    assert all_losses(model, images)["autoencoder"]["global"].item() == pytest.approx(wanted, rel=1e-5)


def test_vfm_names_the_file_that_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv(dinov2_registers.FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}/{dinov2_registers.FILE}.*thumbnail"):
        dinov2_registers.class_token(torch.zeros(1, 3, 16, 16))


def gradients(model, images, loss):
    model.zero_grad()
    loss(model(images)).backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}


def test_codes_learn_from_kept_tokens_alone():
    model, images = tiny().train(), some_images(1)
    sum(all_losses(model, images)["autoencoder"].values()).backward()
    output = model(images)
    used = set(output.patches.codes[output.filtered.kept].tolist())
    moved = set(model.q_patch.embedding.weight.grad.abs().sum(1).nonzero().flatten().tolist())
    assert moved == used and len(used) < len(set(output.patches.codes.flatten().tolist()) | used) + 1


def test_every_parameter_learns():
    for changes in ({}, CNN, {"layout": "literal"}, {"filtering": LENGTHS["all"]}):
        model = tiny(**changes).train()
        sum(all_losses(model, some_images(8))["autoencoder"].values()).backward()
        idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
        unused = {"filtering": ["mask_token"]}  # where all patches are kept
        assert idle == [name for key in changes for name in unused.get(key, [])]


def test_scores_learn_only_with_straight_through():
    images = some_images()
    for through in (False, True):
        model = tiny(filtering={"straight_through": through}).train()
        residual = model.encoded(images).residual
        residual.retain_grad()
        filtered = model.filtered(images, residual)
        assert filtered.scores.requires_grad == through and not filtered.kept.requires_grad
    straight, plain = (tiny(filtering={"straight_through": on}).train() for on in (True, False))
    torch.testing.assert_close(straight(images).images, plain(images).images, atol=1e-4, rtol=1e-4)  # 1 + s - s
    found = [gradients(model, images, lambda output: output.images.square().sum()) for model in (straight, plain)]
    assert not torch.allclose(found[0]["queries"], found[1]["queries"], rtol=1e-3)


def test_bf16_changes_no_score():
    """Under autocast tokens are bf16's, but what chooses among them is computed in float32."""
    model, images = tiny().eval(), some_images()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        residual = model.encoded(images).residual
        found = model.filtered(images, residual)
    assert residual.dtype == found.scores.dtype == found.ranking.cumulative.dtype == torch.float32
    assert torch.equal(found.scores, model.filtered(images, residual).scores)


# ---- budgets ------------------------------------------------------------------------------------------------------


def steps(model, count, images=None, first=0):
    found = []
    for step in range(first, first + count):
        batch = {"images": some_images(16, seed=step) if images is None else images}
        ((group, _, watched),) = model.losses(batch, step, seeded(step))
        found.append(watched)
        model.after_backward(group, {name: x[None] for name, x in model.collected(group).items()})
    return found


def test_the_epsilon_of_a_budget_follows_the_batches():
    model = tiny(filtering=LENGTHS["budget"]).train()
    watched = steps(model, 12)
    assert watched[0]["tokens"].item() == pytest.approx(9.0, abs=0.1)  # from the first batch on
    assert torch.stack([each["tokens"] for each in watched]).mean().item() == pytest.approx(9.0, abs=0.3)
    each = []
    for step in range(12):
        images = some_images(16, seed=step)
        ranking = model.filtered(images, model.encoded(images).residual).ranking
        each.append(dtf.epsilon_for(ranking.cumulative, 9.0 - K).item())
    assert model.epsilon.item() == pytest.approx(sum(each) / 12, abs=1e-5)  # the mean, of fewer than 100
    model.batches.fill_(1000)
    before = model.epsilon.item()
    steps(model, 1, first=12)
    wanted = before + 0.01 * (dtf.epsilon_for(model.seen, 9.0 - K).item() - before)
    assert model.epsilon.item() == pytest.approx(wanted, abs=1e-6)


def test_micro_batches_move_epsilon_as_one_batch():
    images = some_images(8)
    whole, parts = tiny(filtering=LENGTHS["budget"]).train(), tiny(filtering=LENGTHS["budget"]).train()
    steps(whole, 1, images)
    seen = []
    for part in images.chunk(2):
        ((group, *_),) = parts.losses({"images": part}, 0, seeded())
        seen.append(parts.collected(group)["cumulative"])
    parts.after_backward(group, {"cumulative": torch.stack(seen)})
    assert parts.epsilon.item() == pytest.approx(whole.epsilon.item(), abs=1e-6)
    assert parts.collected("discriminator") == {} == tiny().collected("autoencoder")


def test_epsilon_is_settled_on_many_images():
    model = tiny(filtering=LENGTHS["budget"] | {"settling_images": 200}).eval()
    asked = []

    def batches():
        for number in range(10**6):
            asked.append(number)
            yield {"images": some_images(50, seed=number)}

    found = model.settle(batches())
    assert asked == list(range(4))
    assert found["settled_tokens"] == pytest.approx(9.0, abs=0.05)
    assert found["settled_epsilon"] == model.epsilon.item()
    lengths = torch.cat([model.lengths(model.encode(some_images(50, seed=number))) for number in range(4)])
    assert lengths.double().mean().item() == pytest.approx(found["settled_tokens"], abs=1e-9)
    assert tiny().settle(batches()) == {} and len(asked) == 4


# ---- what is refused, and what it costs -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"patch_size": 5}, "image_size: 16 is not divisible by patch_size 5"),
        ({"filtering": {"epsilon": 1.0}}, r"epsilon: 1.0 is not in \[0, 1\)"),
        ({"filtering": {"epsilon": -0.1}}, r"epsilon: -0.1 is not in \[0, 1\)"),
        ({"filtering": {"length": "budget", "budget": 3.5}}, "budget: 3.5 tokens are not between 4 and 19"),
        ({"filtering": {"length": "budget", "budget": 20.0}}, "budget: 20.0 tokens are not between 4 and 19"),
        ({"filtering": {"length": "budget", "budget": 9.0, "threshold": 1.0}}, "threshold belongs to"),
        ({"filtering": {"length": "rest"}, "global_tokens": 16}, "global_tokens: 16 leave none of 16 patches"),
        ({"filtering": {"length": "short"}}, "unknown length 'short'"),
        ({"filtering": {"order": "best"}}, "order 'best'"),
        ({"layout": "literal", "filtering": {"epsilon": 0.15}}, "layout: 3 global tokens .*16 slots.*choose the grid"),
        ({"layout": "literal", "filtering": {"threshold": 1.0}}, "literal layout"),
        ({"layout": "literal", "filtering": {"length": "all"}}, "literal layout"),
        ({"layout": "literal", "filtering": {"length": "budget", "budget": 17.0}}, "literal layout"),
        ({"substrate": "hita_cnn"}, "`network`"),
        ({"substrate": "hita_cnn", "network": {"channels": 4, "multipliers": [1, 1], "res_blocks": 1}}, "multipliers"),
        ({"decoder": {"width": 32, "blocks": 1, "heads": 2}}, "width 16"),
        ({"gan_start_step": 0}, "discriminator"),
        ({"perceptual": "vgg"}, "vgg"),
    ],
)
def test_unusable_settings_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        tiny(fill=False, **changes)
    with pytest.raises(ValueError, match="no stage"):
        tiny().freeze_encoder()


@pytest.mark.parametrize("filtering", [{"epsilon": 3 / 16}, {"length": "budget", "budget": 16.0}, {"length": "rest"}])
@torch.no_grad()
def test_whatever_may_be_literal_fits(filtering):
    """Images of one colour are the worst: all patches weigh the same, but for what tokens say."""
    model = tiny(layout="literal", filtering=filtering).eval()
    images = torch.zeros(4, 3, 16, 16)
    if filtering.get("length") == "budget":
        model.settle([{"images": images}] * 10)
    for parameter in (model.enc_pos, model.patch_embed.weight):
        parameter.zero_()  # now all patches are the same
    codes = model.encode(images)
    assert codes.shape == (4, M) and (model.lengths(codes) <= M).all()
    kept = model.filtered(images, model.encoded(images).residual).kept
    assert torch.equal(model.lengths(codes), K + kept.sum(1))


@pytest.mark.parametrize("length", LENGTHS)
def test_its_cost_can_be_counted(length):
    spec = TINY | {"filtering": FILTERING | LENGTHS[length]}
    used = coding("tesserae.tokenizers.tatok", spec, 2)
    assert min(used["encode"]["fp32"], used["decode"]["fp32"]) > 0
    assert training("tesserae.tokenizers.tatok", spec, 2, "bf16")["flops"]["bf16"] > 0
