"""Networks of the cross-domain tasks: shapes, what they learn, published weights, PARSeq against the official code."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from tesserae.task_networks import fit, parseq, small_reader, small_unet, unet
from tesserae.task_networks.alphabet import ALPHABET, numbered
from tests import golden

SETTINGS = fit.Settings(
    epochs=None, steps=30, batch=8, lr=1e-2, weight_decay=0.0, flips=False, precision="fp32", seed=0
)
UNET = {"encoder": "resnet10t", "widths": [8, 8, 8, 8, 8], "classes": 3}
PARSEQ = {
    **{"side": [8, 24], "patch": [4, 8], "width": 12, "blocks": 2, "encoder_heads": 3},
    **{"decoder_heads": 4, "longest": 6},
}


# ---- pixels -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "model", "side"),
    [(small_unet, {"widths": [4, 8, 8], "classes": 3}, 16), (unet, UNET, 64)],
)
def test_a_segmentation_network_answers_for_every_pixel(module, model, side):
    torch.manual_seed(0)
    network = module.build(model)
    images = torch.rand(2, 3, side, side) * 2 - 1
    logits = network(images)
    assert logits.shape == (2, 3, side, side)
    logits[0, :, side // 2, side // 2].sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
    # The finest level sees the image itself: a change of one pixel is told where it is.
    network.eval()
    changed = images.clone()
    changed[0, :, 3, 3] += 1
    with torch.no_grad():
        difference = (network(changed) - network(images)).abs().sum(dim=1)
    assert difference[0, 3, 3] > 0 and difference[1].max() == 0


def test_an_encoders_published_weights_are_taken_whole_or_not_at_all(tmp_path: Path):
    published = timm.create_model("resnet10t", num_classes=7).state_dict()
    save_file(published, tmp_path / "model.safetensors")
    network = unet.build(UNET)
    unet.load_official(network, unet.read_official(tmp_path / "model.safetensors"))
    assert torch.equal(network.encoder.state_dict()["layer1.0.conv1.weight"], published["layer1.0.conv1.weight"])
    del published["layer1.0.conv1.weight"]
    with pytest.raises(ValueError, match=r"missing: layer1\.0\.conv1\.weight"):
        unet.load_official(network, published)
    with pytest.raises(ValueError, match="halves images 5 times, and there are 2 widths"):
        unet.build(UNET | {"widths": [8, 8]})


# ---- words ------------------------------------------------------------------------------------------------------


def test_letters_have_numbers_and_words_of_others_are_refused():
    letters, lengths = numbered(["b2", "a"])
    assert letters.tolist() == [[ALPHABET.index("b") + 1, 3], [ALPHABET.index("a") + 1, 0]]
    assert lengths.tolist() == [2, 1]
    for word, said in (("A", r"it has \['A'\]"), ("", "'' is no word"), ("é", "it has")):
        with pytest.raises(ValueError, match=said):
            numbered([word])


def test_a_reader_joins_what_follows_without_a_gap_and_learns_to_read():
    torch.manual_seed(0)
    reader = small_reader.build({"widths": [8, 8, 16], "height": 8, "width": 16})
    places = torch.zeros(1, 8, 37)
    for place, letter in enumerate([11, 11, 0, 11, 12, 12, 0, 0]):
        places[0, place, letter] = 9
    reader.forward = lambda words: places
    assert reader.read(torch.zeros(1, 3, 8, 16)) == ["aab"]
    del reader.forward
    with pytest.raises(ValueError, match="'aaaaa' does not fit 8 places"):
        reader.loss(torch.zeros(1, 3, 8, 16), ["aaaaa"])  # five letters and four gaps between equal ones
    words = ["ab", "ba", "b", "a"] * 8
    images = torch.full((32, 3, 8, 16), -1.0)
    for image, word in zip(images, words, strict=True):
        for place, letter in enumerate(word):
            row = 1 if letter == "a" else 5
            image[:, row : row + 2, 2 + 8 * place : 6 + 8 * place] = 1
    losses = fit.fit(
        reader, 32, lambda rows, rng: reader.loss(images[rows], [words[row] for row in rows]), SETTINGS, "it"
    )
    assert losses[-1] < 0.5 * losses[0]


@torch.no_grad()
def test_parseq_reads_what_the_official_code_reads():
    wanted = golden.load("parseq")
    reader = parseq.build(PARSEQ).eval()
    state = golden.state_by_name(wanted["names"], 0.7)
    state["head.bias"] = torch.zeros(95)
    state["head.bias"][parseq.END] = 6  # so that some words end early
    parseq.load_official(reader, state)
    words = golden.seeded_array("words", (5, 3, 8, 24), 1.5).clamp(-1, 1)
    assert reader.read(words) == wanted["read"] and {len(word) for word in wanted["read"]} == {0, 2, 7}
    assert torch.allclose(reader(words)[:, :, :6].flatten(0, 1), torch.tensor(wanted["logits"]), atol=2e-4)
    # Words do not depend on which others are read with them, though all wait for the longest.
    assert [reader.read(word[None])[0] for word in words] == wanted["read"]
    with pytest.raises(ValueError, match=r"unexpected: more"):
        parseq.load_official(reader, state | {"more": torch.zeros(1)})


def test_parseq_has_the_published_size():
    from tesserae.workflow.graph.domains import PARSEQ as PUBLISHED

    with torch.device("meta"):
        reader = parseq.build(PUBLISHED)
    assert sum(p.numel() for p in reader.parameters()) == 23_832_671  # "23.8 M" (github.com/baudm/parseq)


# ---- training ---------------------------------------------------------------------------------------------------


def test_an_epoch_shows_every_image_once_whatever_the_batch():
    settings = SETTINGS._replace(epochs=3, steps=None, batch=4)
    assert fit.steps_of(settings, 10) == 8
    rows = np.concatenate([fit.rows_of(step, 10, settings) for step in range(8)])
    for epoch in range(3):
        assert sorted(rows[10 * epoch : 10 * epoch + 10]) == list(range(10))
    assert not np.array_equal(rows[:10], rows[10:20])


def test_rates_rise_and_fall():
    rates = [fit.rate(step, 100) for step in range(100)]
    assert rates[4] == max(rates) == 1 and rates[0] == pytest.approx(0.2) and 0 < rates[-1] < 1e-2
    assert all(a > b for a, b in zip(rates[4:], rates[5:], strict=False))


def test_a_training_is_the_same_each_time_and_a_loss_that_is_none_ends_it():
    torch.manual_seed(0)
    images, masks = torch.rand(12, 3, 8, 8), torch.randint(2, (12, 8, 8))

    def trained() -> tuple[list[float], torch.Tensor]:
        torch.manual_seed(0)
        network = small_unet.build({"widths": [4, 4, 4], "classes": 2})
        loss = lambda rows, rng: F.cross_entropy(network(images[rows]), masks[rows])
        return fit.fit(network, 12, loss, SETTINGS._replace(steps=5), "it"), network.head.weight

    (losses, weight), (again, other) = trained(), trained()
    assert losses == again and torch.equal(weight, other)
    network = small_unet.build({"widths": [4, 4, 4], "classes": 2})
    with pytest.raises(FloatingPointError, match="it: the loss of update 1 is nan: set a smaller lr"):
        fit.fit(network, 12, lambda rows, rng: network(images[rows]).sum() * float("nan"), SETTINGS, "it")
