"""Probes as stages: from images to the metrics of a probe, of its controls and of nearest neighbours."""

import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from tesserae.data import targets
from tesserae.data.base import Labelled
from tesserae.data.cache import open_cache, write_cache
from tesserae.lineage.measures.registry import problem
from tesserae.metrics.neighbours import agreement, agreement_by_chance, nearest
from tesserae.quantizers.vector import VectorQuantizer
from tesserae.stages import neighbours, phrases, probe, probe_control, probe_tokens, scenes
from tesserae.stages import targets as targets_stage
from tesserae.stages.shared.code_vectors import vectors_of
from tesserae.tokenizers import hita, hita_codes, tatok, tatok_codes
from tests.conftest import ROOT
from tests.small import HITA, TATOK
from tests.stages.works import work

CORPUS = ROOT / "data/emoji/emoji.npz"
SCENES = {"categories": "glyph", "kinds": 5, "validation_fraction": 0.2, "seed": 0, "image_size": 16}
MODULE = {"module": "tesserae.data.emoji_scenes"}
MODEL = {"width": 16, "blocks": 1, "heads": 2, "dropout": 0.1}
TRAINING = {"batch": 16, "epochs": 2, "patience": 2, "lr": 1e-3, "weight_decay": 0.01, "precision": "fp32", "seed": 0}
PROBE = {"module": "tesserae.probes.transformer", "model": MODEL, "training": TRAINING, "encoder": "minilm"}


@dataclass(frozen=True)
class Colours(Labelled):
    """Images of one colour and some noise, which is their class."""

    root = None
    name, layout, class_names = "colours", "none", ("red", "green", "blue")

    def problems(self):
        return iter(())

    def keys(self, split):
        return [f"{split}{i}" for i in range({"train": 60, "val": 30}[split])]

    def labels(self, split):
        return np.arange(len(self.keys(split))) % 3

    def pictures(self, split, *, size, workers=1, start=0):
        for i, label in list(enumerate(self.labels(split)))[start:]:
            image = np.random.default_rng((len(split), i)).integers(0, 120, (size, size, 3))
            image[..., label] += 60
            yield image.astype(np.uint8)


class Means(nn.Module):
    """Continuous tokens: the mean colour of each quarter of an image."""

    tokens, latent_channels = 4, 3

    def encode(self, images, *, rng=None):
        side = images.shape[2] // 2
        return nn.functional.avg_pool2d(images, side).flatten(2).transpose(1, 2)


class Codes(nn.Module):
    """A code for each quarter, none where it is dark; its encoder reads a prompt, and can skip the first quarter."""

    tokens, vocabulary, text = 4, 8, "encoder"

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.quantize, self.read = VectorQuantizer(8, 3, clustering=False, l2=True), []

    def encode(self, images, *, text, rng=None):
        self.read.append(text)
        levels = Means().encode(images).mean(dim=2)
        return torch.where(levels < 0.3, -1, (levels.clamp(0, 1) * 7.99).long())

    def encode_under(self, images, policy):
        return self.encode(images, text=None).index_fill(1, torch.tensor([policy["without"]]), -1)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> SimpleNamespace:
    """Folders of small data sets and their targets."""
    found = {}
    for task, images in (("pairs", 80), ("relations", 60)):
        folder = tmp_path_factory.mktemp(task)
        spec = {"provider": f"emoji_{task}", "images": images, **SCENES, **MODULE}
        job = work("scenes", folder, spec, corpus=CORPUS)
        scenes.run(job)
        found[task] = job.out
        asked = {"task": task, **({"negatives": 3, "hard": 2, "seed": 0} if task == "relations" else {})}
        (folder / "t").mkdir()
        job = work("targets", folder / "t", asked, inputs={"scenes": found[task]})
        targets_stage.run(job)
        found[f"{task}_targets"] = job.out
    folder = tmp_path_factory.mktemp("classes")
    for split in ("train", "val"):
        write_cache(Colours(), split, size=16, folder=folder / "images")
    job = work("targets", folder, {"task": "classes"}, inputs={"dataset": folder / "images"})
    targets_stage.run(job)
    return SimpleNamespace(**found, classes=folder / "images", classes_targets=job.out)


def tokens_of(model: nn.Module, folder: Path, monkeypatch, made, task: str, **more) -> Path:
    monkeypatch.setattr(probe_tokens.weights, "load", lambda file: model)
    role = "dataset" if task == "classes" else "scenes"
    inputs = {role: getattr(made, task), "tokenizer": folder} | more.pop("inputs", {})
    folder.mkdir(exist_ok=True)
    job = work("probe_tokens", folder, {"batch": 32, "codes": None, "policy": None} | more, inputs=inputs)
    probe_tokens.run(job)
    return job.out


def read(folder: Path) -> dict:
    metrics = json.loads((folder / "metrics.json").read_text())
    assert problem(metrics["measure"]) == ""
    return metrics


# ---- data -------------------------------------------------------------------------------------------------------


def test_scenes_are_a_cache_of_images_and_say_how_they_are_divided(made):
    for split in ("train", "val"):
        cache = open_cache(made.pairs, split)
        said = json.loads((made.pairs / "annotations.json").read_text())
        assert cache.images.shape == (len(said[split]), 16, 16, 3) and (cache.labels == -1).all()
    division = json.loads((made.pairs / "division.json").read_text())["pairs"]
    assert not {tuple(pair) for pair in division["train"]} & {tuple(pair) for pair in division["val"]}
    found = targets.open_targets(made.pairs_targets)
    assert found.val.answers.sum(axis=1).tolist() == [2] * found.val.images


def test_a_set_that_is_not_there_or_cannot_be_divided_is_refused_before_images(tmp_path):
    real = {"provider": "coco_pairs", "validation_fraction": 0.2, "seed": 0, "expected_images": 9, "image_size": 16}
    with pytest.raises(ValueError, match=r"data.root is not set.*coco_pairs"):
        scenes.run(work("scenes", tmp_path, real | MODULE))
    few = {"provider": "emoji_pairs", "images": 6, **SCENES, **MODULE}
    with pytest.raises(Exception, match="pair-disjoint split"):
        scenes.run(work("scenes", tmp_path, few, corpus=CORPUS))
    assert not list((tmp_path / "out").iterdir())


def test_targets_of_another_task_are_refused(made, tmp_path):
    with pytest.raises(ValueError, match="shows pairs, and the probe asks for relations"):
        targets_stage.run(work("targets", tmp_path, {"task": "relations"}, inputs={"scenes": made.pairs}))
    with pytest.raises(ValueError, match="there is nothing to read"):
        phrases.run(work("phrases", tmp_path, {"encoder": "minilm"}, inputs={"targets": made.pairs_targets}))


# ---- tokens -----------------------------------------------------------------------------------------------------


def test_continuous_tokens_are_standardised_by_the_training_images(made, tmp_path, monkeypatch):
    folder = tokens_of(Means(), tmp_path / "a", monkeypatch, made, "pairs")
    train = np.load(folder / "train_tokens.npy").astype(np.float64)
    assert train.shape[1:] == (4, 3) and np.load(folder / "val_there.npy").all()
    assert np.abs(train.mean(axis=(0, 1))).max() < 2e-3 and np.abs(train.std(axis=(0, 1)) - 1).max() < 2e-3
    pixels = {split: open_cache(made.pairs, split).images / 127.5 - 1 for split in ("train", "val")}
    means = {name: x.reshape(-1, 2, 8, 2, 8, 3).mean(axis=(2, 4)).reshape(-1, 4, 3) for name, x in pixels.items()}
    wanted = (means["val"] - means["train"].mean(axis=(0, 1))) / means["train"].std(axis=(0, 1))
    assert np.abs(np.load(folder / "val_tokens.npy") - wanted).max() < 5e-3


def test_codes_are_entries_and_an_encoder_with_prompts_reads_the_constant_one(made, tmp_path, monkeypatch):
    features = np.random.default_rng(0).normal(size=(6, 2, 5)).astype(np.float16)
    np.save(tmp_path / "features.npy", features)
    model = Codes()
    folder = tokens_of(model, tmp_path / "a", monkeypatch, made, "pairs", inputs={"prompts": tmp_path})
    assert all(torch.equal(text, torch.from_numpy(features[-1:]).float().expand_as(text)) for text in model.read)
    images = open_cache(made.pairs, "val").images
    codes = model.encode(torch.from_numpy(images / 127.5 - 1).permute(0, 3, 1, 2).float(), text=None)
    tokens, there = np.load(folder / "val_tokens.npy"), np.load(folder / "val_there.npy")
    assert np.array_equal(there, (codes >= 0).numpy()) and not there.all()
    entries = model.quantize.entries().detach().numpy()
    assert np.allclose(tokens[there], entries[codes[codes >= 0]], atol=1e-3) and not tokens[~there].any()
    assert json.loads((folder / "index.json").read_text())["prompt"] == "constant"
    with pytest.raises(ValueError, match="the encoder reads prompts, and the job has none"):
        tokens_of(model, tmp_path / "b", monkeypatch, made, "pairs")


def test_a_policy_is_for_tokenizers_that_have_some(made, tmp_path, monkeypatch):
    model = Codes()
    np.save(tmp_path / "features.npy", np.zeros((2, 1, 1), np.float16))
    policy = {"policy": {"without": 2}, "inputs": {"prompts": tmp_path}}
    folder = tokens_of(model, tmp_path / "a", monkeypatch, made, "pairs", **policy)
    there = np.load(folder / "train_there.npy")
    assert not there[:, 2].any() and there[:, 1].any()
    with pytest.raises(ValueError, match=r"Means reads images in one way alone .*'without': 2"):
        tokens_of(Means(), tmp_path / "b", monkeypatch, made, "pairs", policy={"without": 2})


def test_two_codebooks_stand_side_by_side():
    torch.manual_seed(0)
    for module, vectors, settings in ((tatok, tatok_codes, TATOK), (hita, hita_codes, HITA)):
        model = module.build(settings)
        codes = torch.randint(24, (2, model.tokens))
        k = TATOK["global_tokens"] if module is tatok else HITA["holistic_tokens"]
        first, second = (model.q_glob, model.q_patch) if module is tatok else (model.slot_quantize, model.quantize)
        found, there = vectors_of(model, codes, vectors.__name__)
        assert found.shape == (2, model.tokens, 6) and there.all()  # the wider codebook's
        assert torch.equal(found[:, :k], first.lookup(codes[:, :k]))
        assert torch.equal(found[:, k:, :4], second.lookup(codes[:, k:])) and not found[:, k:, 4:].any()
        assert torch.allclose(found.norm(dim=2), torch.ones(2, model.tokens))
    lacking = codes.masked_fill(torch.arange(codes.shape[1]) > k, -1)
    found, there = vectors_of(model, lacking, hita_codes.__name__)
    assert torch.equal(there, lacking >= 0) and not found[~there].any()
    with pytest.raises(ValueError, match="does not say what its codes stand for"):
        vectors_of(SimpleNamespace(vocabulary=3), torch.zeros(1, 2, dtype=torch.int64), None)


# ---- probes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["classes", "pairs", "relations"])
def test_a_probe_and_its_controls_are_measured_alike(task, made, tmp_path, monkeypatch):
    inputs = {"targets": getattr(made, f"{task}_targets")}
    images = {"dataset" if task == "classes" else "scenes": getattr(made, task)}
    if task == "relations":
        (tmp_path / "words").mkdir()
        job = work("phrases", tmp_path / "words", {"encoder": "minilm"}, inputs=inputs)
        phrases.run(job)
        assert np.load(job.out / "phrases.npy").shape == (5 + 5, 384)
        inputs["phrases"] = job.out
    folder = tokens_of(Means(), tmp_path / "tokens", monkeypatch, made, task)
    job = work("probe", tmp_path, PROBE, inputs={"probe_tokens": folder, **inputs})
    probe.run(job)
    found = read(job.out)
    right = np.load(job.out / "hits.npy")
    assert found["values"]["accuracy"] == pytest.approx(100 * right.mean()) and found["values"]["epochs"] == 2
    curves = [json.loads(line) for line in (job.out / "curves.jsonl").read_text().splitlines()]
    assert max(line["accuracy"] for line in curves) == pytest.approx(found["values"]["accuracy"])
    assert found["values"]["negatives"] == (3 if task == "relations" else 0)
    if task == "relations":
        assert found["values"]["chance"] == 25 and found["measure"]["negatives"] == 3
    for control in (
        {"kind": "centres", "grid": 2, "centres": 4},
        {"kind": "components", "grid": 2, "components": 3},
        {"kind": "chance"},
    ):
        (tmp_path / control["kind"]).mkdir()
        job = work("probe_control", tmp_path / control["kind"], PROBE | {"control": control}, inputs=images | inputs)
        probe_control.run(job)
        beside = read(job.out)
        assert {"accuracy", "held_out"} <= beside["values"].keys()
        differ = {key for key, value in beside["measure"].items() if value != found["measure"][key]}
        assert differ == {"latents"}  # the rest has to agree, or a table refuses them
        if control["kind"] == "chance":
            assert beside["values"]["accuracy"] == pytest.approx(found["values"]["chance"])


def test_a_probe_on_tokens_of_another_data_set_is_refused(made, tmp_path, monkeypatch):
    folder = tokens_of(Means(), tmp_path / "tokens", monkeypatch, made, "pairs")
    inputs = {"probe_tokens": folder, "targets": made.classes_targets}
    with pytest.raises(
        ValueError, match=r"train has \d+ images as tokens and \d+ in .*both have to be of one data set"
    ):
        probe.run(work("probe", tmp_path, PROBE, inputs=inputs))


def test_neighbours_are_nearest_by_all_tokens(made, tmp_path, monkeypatch):
    folder = tokens_of(Means(), tmp_path / "tokens", monkeypatch, made, "classes")
    inputs = {"probe_tokens": folder, "targets": made.classes_targets, "dataset": made.classes}
    job = work("neighbours", tmp_path, {"neighbours": 3, "shown": 2}, inputs=inputs)
    neighbours.run(job)
    with np.load(job.out / "neighbours.npz") as shown:
        assert shown["images"].shape == (2, 4, 16, 16, 3) and shown["nearest"].shape[1] == 3
        labels, found = open_cache(made.classes, "val").labels, shown["nearest"]
        assert np.array_equal(shown["labels"][0], labels[[0, *found[0]]])
    vectors = np.load(folder / "val_tokens.npy").astype(np.float64).reshape(len(labels), -1)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -2)
    taken = np.take_along_axis(cosines, found, axis=1)
    assert np.allclose(taken, -np.sort(-cosines, axis=1)[:, :3], atol=1e-5)
    values = read(job.out)["values"]
    assert values["agreement"] == pytest.approx(agreement(labels, found))
    assert values["chance"] == pytest.approx(100 * 3 * 10 * 9 / (30 * 29)) and values["agreement"] == 100


def test_agreement_of_neighbours_by_hand():
    vectors = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
    found = nearest(vectors, 1).numpy()
    assert found[:, 0].tolist() == [1, 0, 3, 2]
    assert agreement(np.array([0, 0, 1, 2]), found) == 50
    assert agreement_by_chance(np.array([0, 0, 1, 2])) == pytest.approx(100 * 2 / 12)
    with pytest.raises(ValueError, match="of 4 images none has 4 other ones"):
        nearest(vectors, 4)
