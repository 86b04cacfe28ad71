"""SFTok: parity with the official code, sizes, decoding in steps, what each stage learns and leaves, weights."""

import math

import pytest
import torch
from torch.nn import functional as F

from tesserae.nn.first_weights import start_narrow
from tesserae.tokenizers import sftok
from tesserae.tokenizers.sftok import build
from tesserae.tokenizers.sftok_weights import load_official, our_name, read_official
from tests import golden
from tests.small import SFTOK as TINY
from tests.tokenizers.batches import coloured_images, reached, seeded, with_codes

GOLDEN = golden.load("sftok")
SINGLE = {"learns": "codes", "replaced": None, "steps": 1}
GUIDED = {"learns": "codes"}


def tiny(**changes):
    torch.manual_seed(0)
    return build(TINY | changes)


# ---- parity -----------------------------------------------------------------------------------------------------


def official_state():
    """Weights under official names, by the rule of golden.fill_by_name."""
    state = golden.state_by_name(GOLDEN["keys"], GOLDEN["fill_scale"])
    state["decoder.ffn.2.weight"] *= 4  # so that some codes are likelier than others
    state["quantize.index_offset"] = torch.zeros(1, dtype=torch.int64)
    return state


def official_model(**changes):
    model = build(TINY | GOLDEN["model"] | changes)
    load_official(model, official_state())
    return model


def norms(model, wanted):
    """Of the gradients of what `wanted` names."""
    parameters = dict(model.named_parameters())
    return {name: parameters[our_name(name)].grad.norm().item() for name in wanted}


@torch.no_grad()
def test_official_codes_and_images():
    model = official_model().eval()
    codes = model.encode(coloured_images())
    assert codes.dtype == torch.int64 and codes.tolist() == GOLDEN["codes"]
    assert model.quantize(model.latents(coloured_images()), balanced=True).codes.tolist() == GOLDEN["balanced"]
    pixels = (model.decode(codes) + 1) / 2  # in eight steps, with the noise that the official code was given
    chosen = pixels.flatten()[:: GOLDEN["stride"]]
    torch.testing.assert_close(chosen, torch.tensor(GOLDEN["pixels"]), atol=2e-4, rtol=1e-4)  # of values up to 16


@pytest.mark.parametrize(("stage", "changes"), [("single", SINGLE), ("guided", GUIDED)])
def test_official_step_of_the_stages_that_learn_codes(stage, changes):
    model, wanted = official_model(**changes).train(), GOLDEN[stage]
    codes = (torch.arange(32).view(2, 16) * 7 + 3) % 24
    model.replaced = model.replaced and 0.8
    batch = {"images": coloured_images(), "codes": codes}
    group, terms, _ = next(model.losses(batch, 0, seeded(wanted.get("seed", 0))))
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(wanted["terms"], rel=1e-4)
    sum(terms.values()).backward()
    assert norms(model, wanted["gradients"]) == pytest.approx(wanted["gradients"], rel=2e-3, abs=1e-6)
    missed = {name for name, _ in model.parameter_groups()[group]} - {our_name(name) for name in wanted["gradients"]}
    assert missed == set()


def test_official_step_of_the_stage_that_learns_pixels():
    model, wanted = official_model().train(), GOLDEN["pixels_stage"]
    model.freeze_encoder()
    model.perceptual_loss = lambda a, b: (a - b).abs().mean() / 2  # in place of LPIPS, which needs a file
    group, terms, _ = next(model.losses({"images": coloured_images()}, 0, seeded(wanted["seed"])))
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(wanted["terms"], rel=1e-4)
    sum(terms.values()).backward()
    assert norms(model, wanted["gradients"]) == pytest.approx(wanted["gradients"], rel=2e-3, abs=1e-6)
    assert {name for name, _ in model.parameter_groups()[group]} == {our_name(name) for name in wanted["gradients"]}


B, L = {"width": 768, "blocks": 12, "heads": 12}, {"width": 1024, "blocks": 24, "heads": 16}
PUBLISHED = [(B, 64, 88_872_448, 205_845_315), (B, 57, 88_867_072, 205_829_187), (L, 64, 307_923_968, 424_896_835)]


@pytest.mark.parametrize(("decoder", "tokens", "own", "total"), PUBLISHED, ids=["B-64", "B-57", "L-64"])
def test_sizes_of_the_official_classes(decoder, tokens, own, total):
    proxy = {"channels": 128, "multipliers": [1, 1, 2, 2, 4], "res_blocks": 2, "codebook_size": 1024, "code_width": 256}
    shape = {"image_size": 256, "patch_size": 16, "codebook_size": 8192, "code_width": 32, "proxy": proxy}
    with torch.device("meta"):
        model = build(TINY | shape | {"latent_tokens": tokens, "encoder": B, "decoder": decoder})
    assert sum(p.numel() for p in model.decoder.parameters()) == own
    assert sum(p.numel() for p in model.parameters()) == total


# ---- use --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 2, 5, 16])
@torch.no_grad()
def test_codes_and_images_do_not_depend_on_the_batch(steps):
    model, images = tiny(steps=steps).eval(), with_codes()["images"]
    codes = model.encode(images)
    assert codes.shape == (4, 6) == (4, model.tokens) and torch.equal(codes, model.encode(images, rng=seeded()))
    assert torch.equal(codes[1:3], model.encode(images[1:3]))
    pictures = model.decode(codes)
    assert pictures.shape == images.shape and torch.equal(pictures, model.decode(codes))
    torch.testing.assert_close(model.decode(codes[1:3]), pictures[1:3], atol=1e-5, rtol=1e-5)


class Watched(sftok.Decoder):
    """Notes the codes that it is shown."""

    def forward(self, codes, vectors):
        self.shown.append(codes)
        return super().forward(codes, vectors)


def watch(model):
    model.decoder.__class__, model.decoder.shown = Watched, []
    return model.decoder.shown


@torch.no_grad()
def test_known_codes_stay_and_masked_ones_become_fewer():
    model = tiny(steps=8, choice_temperature=3.0).eval()
    shown = watch(model)
    codes = model.encode(with_codes()["images"])
    model.decode(codes)
    mask = model.decoder.mask
    counts = [(step == mask).sum(dim=1).tolist() for step in shown]
    law = [math.floor(16 * math.acos(step / 8) / (math.pi / 2)) for step in range(1, 8)]
    assert counts == [[16] * 4, *([count] * 4 for count in law)]
    for before, after in zip(shown[:-1], shown[1:], strict=True):
        assert torch.equal(after[before != mask], before[before != mask])


@torch.no_grad()
def test_without_noise_the_surest_are_kept():
    model = tiny(steps=2, choice_temperature=0.0).eval()
    shown = watch(model)
    vectors = model.quantize.lookup(torch.arange(6)[None])
    model.generate(vectors, lambda first, shape: torch.full((1, *shape), 0.3))
    best, choice = model.decoder(shown[0], vectors)[0].flatten(1).max(dim=0)
    kept = (shown[1][0] != model.decoder.mask).nonzero()[:, 0]
    assert kept.tolist() == best.topk(len(kept)).indices.sort().values.tolist() and len(kept) == 6
    assert torch.equal(shown[1][0, kept], choice[kept])


@torch.no_grad()
def test_noise_is_drawn_anew_at_each_step_and_for_each_code():
    model, asked = tiny(steps=3).eval(), []

    def draw(first, shape):
        asked.append(range(first, first + math.prod(shape)))
        return torch.full((1, *shape), 0.3)

    model.generate(model.quantize.lookup(torch.arange(6)[None]), draw)
    assert [len(numbers) for numbers in asked] == [320, 16, 320, 16]  # none for the last step
    assert all(before.stop == after.start for before, after in zip(asked[:-1], asked[1:], strict=True))


# ---- training ---------------------------------------------------------------------------------------------------


def test_what_each_stage_learns():
    batch, seen = with_codes(), {}
    for stage, changes in {"single": SINGLE, "guided": GUIDED, "pixels": {}}.items():
        model = tiny(**changes).train()
        model.freeze_encoder()
        (step,) = model.losses(batch, 0, seeded())
        seen[stage] = reached(model, step[1])
        assert seen[stage] == {name.split(".")[0] for name, _ in model.parameter_groups()["autoencoder"]}
    codes = {"encoder", "latent_tokens", "quantize", "decoder"}
    assert seen == {"single": codes, "guided": codes, "pixels": {"decoder", "pixel_quantize", "pixel_decoder"}}


def test_the_first_stage_knows_nothing():
    model, batch = tiny(**SINGLE), with_codes()
    shown = watch(model)
    (step,) = model.losses(batch, 0, seeded())
    assert len(shown) == 1 and (shown[0] == model.decoder.mask).all()
    logits = model(batch["images"], batch["codes"], seeded()).logits.flatten(2)
    assert step[1]["codes"].item() == pytest.approx(F.cross_entropy(logits, batch["codes"]).item(), rel=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_known_codes_are_its_own_predictions_as_often_as_asked(share):
    model, batch = tiny(**GUIDED, replaced=share), with_codes(64)
    shown = watch(model)
    output = model(batch["images"], batch["codes"], seeded())
    guess = model.decoder(shown[0], output.quantized.vectors).argmax(dim=1).flatten(1)
    known = shown[1] != model.decoder.mask
    assert torch.equal(output.counted, torch.where(known, 0.1, 1.0))
    differ = known & (guess != batch["codes"])
    own = (shown[1] == guess)[differ].float().mean().item()
    assert own == pytest.approx(share, abs=0.1) and torch.equal(
        (shown[1] == batch["codes"]) | (shown[1] == guess), known
    )


def test_how_many_are_masked_follows_the_arccos_law():
    model, rng = tiny(**GUIDED), seeded()
    codes = torch.zeros(4000, 16, dtype=torch.int64)
    masked = model._masked(codes, rng)
    counts = masked.sum(dim=1).double() / 16
    assert counts.mean().item() == pytest.approx(2 / math.pi, abs=0.02)
    assert (counts > 0.5).double().mean().item() == pytest.approx(math.cos(math.pi / 4 * (8.5 / 8)), abs=0.03)
    places = masked.double().mean(dim=0)
    assert (places - 2 / math.pi).abs().max() < 0.04  # no place is preferred


def test_gradients_are_whole_under_autocast():
    """The prediction without gradient must leave no weights behind that the second would use."""
    for changes in (SINGLE, GUIDED, {"gan_start_step": 0}):
        model = tiny(**changes).train()
        model.freeze_encoder()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            for _, terms, *_ in model.losses(with_codes(), 0, seeded()):
                assert {term.dtype for term in terms.values()} == {torch.float32}
                sum(terms.values()).backward()
        trained = [p for group in model.parameter_groups().values() for _, p in group]
        assert all(p.grad is not None and p.grad.isfinite().all() for p in trained)


def test_the_gan_belongs_to_the_last_stage():
    model = tiny(gan_start_step=3).train()
    model.freeze_encoder()
    assert [group for group, *_ in model.losses(with_codes(), 2, seeded())] == ["autoencoder"]
    steps = {group: terms for group, terms, *_ in model.losses(with_codes(), 3, seeded())}
    assert set(steps["autoencoder"]) == {"reconstruction", "gan"} and set(steps["discriminator"]) == {"hinge", "lecam"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image_size": 18}, "not divisible"),
        ({"patch_size": 8}, "a code of the proxy 4"),
        ({"replaced": 0.8}, "knows no codes but its own"),
        (GUIDED | {"gan_start_step": 0}, "a GAN belongs"),
        ({"learns": "both"}, "learns 'both'"),
    ],
)
def test_unusable_settings_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        tiny(**changes)


def test_a_short_training_learns_the_codes_of_the_proxy():
    """Every image has one colour, which only its own codes can tell; with nearest entries all take the same few."""
    codes = torch.arange(8)[:, None].expand(-1, 16)
    batch = {"codes": codes, "images": (codes / 4 - 1)[:, None, :1, None].expand(-1, 3, 16, 16).contiguous()}
    model, shares = tiny(**SINGLE).train(), []
    start_narrow(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(90):
        _, terms, watched = next(model.losses(batch, step, seeded()))
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
        shares.append(watched["predicted"].item())
    assert shares[0] < 0.2 and sum(shares[-10:]) / 10 > 0.3 and watched["usage"] > 0.5


# ---- published weights ------------------------------------------------------------------------------------------


def test_published_files_load_strictly(tmp_path):
    state = official_state()
    torch.save(state, tmp_path / "weights.bin")
    model = build(TINY | GOLDEN["model"])
    load_official(model, read_official(tmp_path / "weights.bin"))
    assert torch.equal(model.decoder.positional_embedding, state["decoder.learnable_embedding_positional_embedding"])
    older = dict(state)
    older["decoder.embedding_positional_embedding"] = older.pop("decoder.learnable_embedding_positional_embedding")
    del older["quantize.index_offset"]
    again = build(TINY | GOLDEN["model"])
    load_official(again, older)
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())
    with pytest.raises(ValueError, match=r"an earlier stage of an SFTok.*take the file of the last"):
        load_official(model, {name: tensor for name, tensor in state.items() if not name.startswith("pixel_")})
    del state["decoder.ffn.0.bias"]
    state["encoder.extra"] = state["quantize.shared_linear.bias"] = torch.zeros(7)
    with pytest.raises(ValueError) as error:
        load_official(model, state)
    for part in ("missing: decoder.ffn.0.bias", "unexpected: encoder.extra", "shape of quantize.shared_linear.bias"):
        assert part in str(error.value)
