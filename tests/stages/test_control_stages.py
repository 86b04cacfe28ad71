"""The stages of controls: what they measure, that they measure it as rows are measured, and what they cannot do."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from tesserae.lineage.compare import compare
from tesserae.lineage.measures.registry import problem
from tesserae.metrics.fidelity import statistics
from tesserae.reporting.tables import DIFFERENT
from tesserae.stages import generation_control, image_control, metrics, reconstruction, reconstruction_control
from tesserae.stages.shared.files import read_json, write_json
from tesserae.stages.shared.scoring import scored
from tests.controls.test_patches import pictures
from tests.lineage.results import add
from tests.stages.works import work

SIDE, SAMPLES, CLASSES = 8, 24, 3
MEASURED = {"extractor": "plain", "layer": "1", "splits": 2, "batch": 5, "rounding": "round", "shown": 3}
SAMPLED = MEASURED | {"neighbourhood": 2}
DRAWN = SAMPLED | {"samples": SAMPLES, "labels": "cycled", "seed": 0, "classes": CLASSES}


def features_of(images):
    pixels = torch.from_numpy(np.asarray(images, dtype=np.float64)).flatten(1, 2)
    return torch.cat([pixels.mean(1), pixels.std(1)], dim=1)


class Pixels(nn.Module):
    """Tokens are the mean colours of four quarters of an image, (B, 4, 3)."""

    def encode(self, images):
        return images.unflatten(2, (2, -1)).unflatten(4, (2, -1)).mean((3, 5)).flatten(2).transpose(1, 2)

    def decode(self, tokens):
        return (
            tokens.transpose(1, 2).unflatten(2, (2, 2)).repeat_interleave(SIDE // 2, 2).repeat_interleave(SIDE // 2, 3)
        )


class Coded(nn.Module):
    """Codes are one of four greys for each of four quarters."""

    vocabulary = 4

    def decode(self, codes):
        return Pixels().decode(codes[..., None].expand(-1, -1, 3) / 1.5 - 1)


@pytest.fixture
def images(tmp_path, monkeypatch):
    """Training and validation images, reference statistics, and an extractor that a test can afford."""
    train, val = pictures(60, SIDE, 0), pictures(40, SIDE, 1)
    data = {
        "train": SimpleNamespace(images=train, labels=np.arange(60) % CLASSES),
        "val": SimpleNamespace(images=val, labels=np.arange(40) % CLASSES),
    }
    reference = tmp_path / "reference" / "few-8"
    reference.mkdir(parents=True)
    statistics(features_of(train)).save(reference / "train.npz")
    statistics(features_of(val)).save(reference / "val.npz")
    np.save(reference / "val_features.npy", features_of(val).numpy())

    def score(images, spec, device):
        return scored(features_of(images), features_of(images) / 50, spec["splits"])

    for stage in (reconstruction, reconstruction_control, image_control, generation_control):
        monkeypatch.setattr(stage, "score", score)
    for stage in (reconstruction, reconstruction_control, image_control):
        monkeypatch.setattr(stage, "open_cache", lambda folder, split: data[split])
    return SimpleNamespace(train=train, val=val, reference=reference, data=data, dataset=tmp_path / "dataset" / "few-8")


def made(stage, folder, spec, inputs) -> dict:
    """metrics.json of a job, checked against what the stage returns."""
    name = stage.__name__.rsplit(".", 1)[-1]
    (folder / name).mkdir(exist_ok=True)
    job = work(name, folder / name, spec, inputs=inputs)
    values = stage.run(job)
    written = read_json(job.out / "metrics.json")
    assert written["values"] == values and problem(written["measure"]) == ""
    return written


def rebuilt(folder, images, control: dict, **more) -> dict:
    inputs = {"dataset": images.dataset, "reference": images.reference}
    return made(reconstruction_control, folder, MEASURED | {"control": control, "seed": 0, **more}, inputs)


# ---- reconstructions --------------------------------------------------------------------------------------------


def test_more_is_kept_by_more_numbers_and_least_by_a_colour(images, tmp_path):
    few = rebuilt(tmp_path, images, {"kind": "components", "grid": 2, "components": 2})
    many = rebuilt(tmp_path, images, {"kind": "components", "grid": 2, "components": 12})
    colour = rebuilt(tmp_path, images, {"kind": "mean", "grid": 1})
    ratios = [found["values"]["psnr"] for found in (colour, few, many)]
    assert ratios == sorted(ratios) and ratios[2] > ratios[0] + 5
    assert colour["values"]["rfid"] > few["values"]["rfid"] > many["values"]["rfid"]
    assert "12 principal components of each of 4 patches: 48 numbers" in many["measure"]["latents"]
    assert set(many["deviation"]) == {"rfid", "ris"}


def test_real_images_have_no_distance_and_no_psnr(images, tmp_path):
    found = rebuilt(tmp_path, images, {"kind": "real"})
    assert set(found["values"]) == {"rfid", "ris"} and abs(found["values"]["rfid"]) < 1e-6
    assert set(found["deviation"]) == {"ris"}  # nothing to say of a distance that is 0 by construction
    shown = np.load(tmp_path / "reconstruction_control/out/images.npz")
    assert (shown["originals"] == shown["reconstructions"]).all()


def test_centres_follow_from_the_seed(images, tmp_path):
    control = {"kind": "centres", "grid": 2, "centres": 16}
    one, other = (rebuilt(tmp_path, images, control, seed=seed) for seed in (0, 1))
    assert rebuilt(tmp_path, images, control)["values"] == one["values"] != other["values"]
    assert "16 k-means centres for each of 4 patches: 16 bits" in one["measure"]["latents"]


def test_reconstructions_and_their_control_are_measured_alike(images, tmp_path, monkeypatch):
    monkeypatch.setattr(reconstruction.weights, "load", lambda file: Pixels())
    inputs = {"dataset": images.dataset, "reference": images.reference, "tokenizer": tmp_path}
    row = made(reconstruction, tmp_path, MEASURED, inputs)
    control = rebuilt(tmp_path, images, {"kind": "components", "grid": 2, "components": 3})
    assert differing(tmp_path, row, control) == {"latents", "weights"}
    # The mean colour of a quarter is one of the linear codes that three components could be: they are no worse.
    assert control["values"]["psnr"] > row["values"]["psnr"] - 0.1


def differing(folder, row: dict, control: dict) -> set[str]:
    """In which fields `tesserae compare` finds that two artifacts were measured otherwise."""
    for name, content in (("metrics/row", row), ("generation_control/it", control)):
        add(folder, name, files={"metrics.json": json.dumps(content)}, scale="smoke")
    found = compare(folder, "smoke", "metrics/row", "generation_control/it").differing
    assert {name.split(".")[0] for name in found} <= set(DIFFERENT)
    return {name.split(".")[0] for name in found}


# ---- samples ----------------------------------------------------------------------------------------------------


def sampled(folder, images, kind: str) -> dict:
    spec = SAMPLED | {"control": {"kind": kind}, "images": SAMPLES}
    return made(image_control, folder, spec, {"dataset": images.dataset, "reference": images.reference})


def test_real_images_are_near_and_mean_colours_far(images, tmp_path):
    real, mean = (sampled(tmp_path, images, kind) for kind in ("real", "mean"))
    assert real["values"]["fid"] < mean["values"]["fid"] and real["values"]["recall"] > mean["values"]["recall"]
    assert real["measure"]["samples"] == mean["measure"]["samples"] == SAMPLES


def test_precision_of_real_images_is_not_of_its_own_reference(images, tmp_path):
    images.data["train"].images = 255 - images.train  # now training images are unlike validation images
    found = sampled(tmp_path, images, "real")["values"]
    assert found["precision"] < 1.0
    images.data["train"].images = images.val
    assert sampled(tmp_path, images, "real")["values"]["precision"] == 1.0


def test_fewer_validation_images_than_samples_are_all_there_are(images, tmp_path):
    images.data["val"].images = images.val[:10]
    assert sampled(tmp_path, images, "mean")["measure"]["samples"] == 10


def cached(folder, tokens: np.ndarray, name: str, labels: np.ndarray) -> dict:
    """Two shards of a token cache."""
    found = {}
    for number, part in enumerate(np.array_split(np.arange(len(tokens)), 2), start=1):
        place = folder / f"{name}-{number}of2"
        place.mkdir(exist_ok=True)
        np.save(place / ("codes.npy" if name == "codes" else "moments.npy"), tokens[part])
        np.save(place / "labels.npy", labels[part])
        found[f"{name}.{number}"] = place
    return found


@pytest.fixture
def gaussian(images, tmp_path, monkeypatch):
    """A job on the tokens of the training images and their mirror images."""
    both = torch.from_numpy(np.stack([images.train, images.train[:, :, ::-1]], 1)).permute(0, 1, 4, 2, 3) / 127.5 - 1
    means = Pixels().encode(both.flatten(0, 1).float()).unflatten(0, (-1, 2))
    moments = torch.cat([means, torch.full_like(means, -12.0)], -1).numpy()
    monkeypatch.setattr(generation_control.weights, "load", lambda file: Pixels())
    inputs = cached(tmp_path, moments, "tokens", images.data["train"].labels)
    inputs |= {"tokenizer": tmp_path, "reference": images.reference}
    return lambda **changes: made(generation_control, tmp_path, DRAWN | changes, inputs)


def test_samples_of_a_normal_distribution_are_the_same_in_any_batch(gaussian, tmp_path):
    one = gaussian()
    preview = np.load(tmp_path / "generation_control/out/preview.npy")
    assert preview.shape == (3, SIDE, SIDE, 3)
    assert gaussian(batch=24)["values"] == one["values"]
    assert gaussian(seed=1)["values"] != one["values"]
    assert set(one["deviation"]) == {"fid", "is"}


def test_they_are_nearer_than_what_knows_no_token(gaussian, images, tmp_path):
    """Images of this test are nearly linear, so that quarters say most of them."""
    assert gaussian()["values"]["fid"] < sampled(tmp_path, images, "mean")["values"]["fid"]


def test_samples_and_their_control_are_measured_alike(gaussian, images, tmp_path):
    control = gaussian()
    index = {key: DRAWN[key] for key in ("samples", "rounding", "labels", "seed")}
    index |= {"sampler": {"module": "s"}, "guidance": 2.0, "temperature": None, "selection": None}
    drawn = tmp_path / "drawn"
    drawn.mkdir()
    write_json(drawn / "index.json", index)
    features = features_of(images.val[:SAMPLES])
    np.save(drawn / "features.npy", features.numpy())
    np.save(drawn / "logits.npy", features.numpy() / 50)
    np.save(drawn / "preview.npy", images.val[:3])
    row = made(metrics, tmp_path, SAMPLED, {"samples": drawn, "features": drawn, "reference": images.reference})
    assert differing(tmp_path, row, control) == {"sampler", "selection"}


def test_codes_are_drawn_by_their_frequencies(images, tmp_path, monkeypatch):
    monkeypatch.setattr(generation_control.weights, "load", lambda file: Coded())
    labels = np.arange(60) % CLASSES
    codes = np.broadcast_to(labels[:, None, None], (60, 2, 4)).astype(np.uint16)  # of a class always the same one
    inputs = cached(tmp_path, codes, "codes", labels) | {"tokenizer": tmp_path, "reference": images.reference}
    found = made(generation_control, tmp_path, DRAWN, inputs)
    assert found["measure"]["sampler"] == generation_control.MARGINALS
    shown = np.load(tmp_path / "generation_control/out/preview.npy")
    assert [len(np.unique(image)) for image in shown] == [1, 1, 1] and len(np.unique(shown)) == 3


def test_a_class_without_images_is_refused(images, tmp_path, monkeypatch):
    monkeypatch.setattr(generation_control.weights, "load", lambda file: Coded())
    inputs = cached(tmp_path, np.zeros((60, 2, 4), np.uint16), "codes", np.arange(60) % CLASSES)
    inputs |= {"tokenizer": tmp_path, "reference": images.reference}
    with pytest.raises(ValueError, match="class 3 has no training image"):
        made(generation_control, tmp_path, DRAWN | {"classes": 4}, inputs)
