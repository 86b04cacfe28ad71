"""From images to concepts: features in parts, an autoencoder trained on them, the sets it finds in each image."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tesserae.data.floats import float_images
from tesserae.data.ragged import open_ragged
from tesserae.encoders.semantic import CHANNELS, patch_features
from tesserae.stages import concepts, sae, semantic_features
from tesserae.stages.shared.feature_shards import open_features
from tesserae.training import weights
from tests.stages.works import work
from tests.training.together import TRAINING

MODULE = "tesserae.sae.topk"
MODEL = {
    "width": CHANNELS["embedded"],
    "dictionary": 40,
    "top_k": 3,
    "tied_init": True,
    "ghost_gradients": True,
    "dead_window": 4,
    "normalise": "none",
    "chunk": 7,
}
WHERE = {"encoder": "embedded", "feature": "block_out", "side": 32, "batch": 16}
SEEN = 60  # images; 4 patches each
TRAIN = TRAINING | {
    "steps": 30,
    "batch": 8,
    "lr": 0.03,
    "ema": 0.0,
    "weight_decay": 0.0,
    "clip": None,
    "decay": "constant",
}


@pytest.fixture(scope="module")
def corpus():
    """Pictures of coloured noise, in three classes of colours."""
    with pytest.MonkeyPatch.context() as patch:
        drawn = np.random.default_rng(0).integers(0, 256, (SEEN, 32, 32, 3)) * (np.arange(3) + 1) // 3
        labels = np.arange(SEEN) % 3
        images = np.stack([np.roll(image, label, -1) for image, label in zip(drawn, labels, strict=True)])
        whole = SimpleNamespace(images=images.astype(np.uint8), labels=labels, class_names=("a", "b", "c"))
        fewer = SimpleNamespace(images=whole.images[:5], labels=labels[:5], class_names=whole.class_names)
        for stage in (semantic_features, concepts):
            patch.setattr(stage, "open_cache", lambda folder, split: whole if split == "train" else fewer)
        yield whole


def features(folder, shard=1, shards=1):
    folder.mkdir()
    spec = WHERE | {"shard": shard, "shards": shards, "split": "train"}
    job = work("semantic_features", folder, spec, inputs={"dataset": folder})
    said = semantic_features.run(job)
    return job.out, said


@pytest.fixture(scope="module")
def halves(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("halves")
    return [features(folder / str(k), k, 2)[0] for k in (1, 2)]


@pytest.fixture(scope="module")
def trained(halves, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sae")
    spec = WHERE | {
        "module": MODULE,
        "model": MODEL,
        "training": TRAIN,
        "encoder": "embedded",
        "feature": "block_out",
        "side": 32,
    }
    job = work("sae", folder, spec, inputs={f"semantic_features.{k}": half for k, half in enumerate(halves)})
    return job.out, sae.run(job)


@pytest.fixture(scope="module")
def found(corpus, trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("concepts")
    spec = WHERE | {"concepts": 5, "module": MODULE}
    job = work("concepts", folder, spec, inputs={"dataset": folder, "sae": trained[0]})
    return job.out, concepts.run(job)


# ---- features ---------------------------------------------------------------------------------------------------


def test_parts_are_the_whole(corpus, halves, tmp_path):
    out, said = features(tmp_path / "whole")
    assert said == {"images": SEEN, "patches": 4, "width": CHANNELS["embedded"]}
    whole = np.load(out / "features.npy")
    assert whole.dtype == np.float16 and np.isfinite(whole).all() and np.ptp(whole) > 1
    both = open_features(halves)
    assert len(both) == SEEN
    chosen = np.array([31, 0, 59, 30, 29])
    # Batches are cut elsewhere: equal up to the rounding of other matrix shapes.
    np.testing.assert_allclose(both.at(chosen).numpy(), whole[chosen], rtol=2e-3, atol=2e-3)


def test_features_that_float16_cannot_hold_are_refused(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(semantic_features, "patch_features", lambda *_: torch.full((16, 4, 3), 1e5))
    with pytest.raises(OverflowError, match="65504"):
        features(tmp_path / "large")


# ---- the autoencoder --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 49, 50, 51, 149, 150])
def test_no_image_is_both_seen_and_held_out(count):
    held, seen = sae.held_out(count)
    assert sorted([*held, *seen]) == list(range(count)) and len(held) == -(-count // sae.HELD_OUT)
    assert (np.diff(held) == sae.HELD_OUT).all() and held[-1] == count - 1


def test_training_writes_weights_curves_and_numbers(halves, trained):
    out, said = trained
    assert set(load_file(out / "weights.safetensors")) == {"W_enc", "b_enc", "W_dec", "b_dec"}
    curve = [json.loads(line) for line in (out / "curves.jsonl").read_text().splitlines()]
    assert {"reconstruction", "ghost", "nmse", "explained_variance", "l0", "dead"} <= set(curve[0])
    assert curve[-1]["reconstruction"] < 0.9 * curve[0]["reconstruction"]
    metrics = json.loads((out / "metrics.json").read_text())
    assert set(metrics) == {"values", "deviation", "measure", "measure_id", "selection", "histogram"}
    histogram, values = metrics["histogram"], metrics["values"]
    assert sum(histogram["latents"]) + histogram["never"] == 40
    assert values["dead"] == histogram["never"] / 40 and said == values

    model = weights.load(out / "weights.safetensors")
    tokens = open_features(halves).at(np.array([9, 59])).flatten(0, 1).float()
    codes = model.encode(tokens)
    error = (tokens - model.decode(codes)).square().sum() / tokens.square().sum()
    assert values["explained_variance"] == pytest.approx(1 - error.item(), abs=1e-5)
    assert values["l0"] == pytest.approx((codes.values > 0).sum().item() / 8)
    torch.testing.assert_close(model.W_dec.norm(dim=1), torch.ones(40))


# ---- concepts ---------------------------------------------------------------------------------------------------


def test_rows_are_the_sets_of_images_and_mirrored_images(corpus, trained, found):
    model = weights.load(trained[0] / "weights.safetensors")
    train, val = (open_ragged(found[0], split) for split in ("train", "val"))
    assert len(train) == 2 * SEEN and len(val) == 5
    images = float_images(corpus.images[16:32], torch.device("cpu"))
    for first, view in ((16, images), (SEEN + 16, images.flip(-1))):
        wanted = model.concept_set(patch_features("embedded", view, "block_out", 32), 5)
        assert np.array_equal(train.rows(np.arange(first, first + 16), 5), wanted.numpy())
    assert (np.diff(train.offsets) <= 5).all() and (np.diff(train.offsets) > 0).all()
    sets = [[set(row) - {-1} for row in some.rows(np.arange(5), 5)] for some in (train, val)]
    assert sets[0] == sets[1]


def test_counts_are_of_images_as_they_are(corpus, found):
    out, said = found
    train, counts, by_class = open_ragged(out, "train"), np.load(out / "counts.npy"), np.load(out / "class_counts.npy")
    assert counts.shape == (40,) and by_class.shape == (3, 40) and counts.dtype == by_class.dtype == np.int64
    wanted = np.zeros((3, 40), int)
    for image, label in enumerate(corpus.labels):
        for concept in train.rows(np.array([image]), 5)[0]:
            if concept >= 0:
                wanted[label, concept] += 1
    assert np.array_equal(by_class, wanted) and np.array_equal(counts, wanted.sum(0))
    assert said["concepts_per_image"] == counts.sum() / SEEN and said["concepts_in_use"] == (counts > 0).sum()
