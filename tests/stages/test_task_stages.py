"""Tasks on images of other domains as stages: a network on originals, and what it sees of what is left of images."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tesserae.lineage.measures.registry import problem
from tesserae.metrics import task_scores
from tesserae.reporting.tables import same_measure
from tesserae.stages import domain, patch_coder, reference, task_control, task_network, task_score
from tesserae.task_networks import unet
from tests.data.test_domains import job as domain_job
from tests.stages.works import work

FEW = {"train_images": 24, "val_images": 12}
SETS = {"remote_sensing": "emoji_land", "medical": "emoji_shapes", "text": "drawn_words"}
SIDE = 32
TRAINING = {
    **{"epochs": None, "steps": 6, "batch": 8, "lr": 1e-2, "weight_decay": 0.01},
    **{"flips": True, "precision": "fp32", "seed": 0},
}
PIXELS = {"module": "tesserae.task_networks.small_unet", "model": {"widths": [4, 4, 8]}, "training": TRAINING}
WORDS = {
    "module": "tesserae.task_networks.small_reader",
    "model": {"widths": [4, 4, 8], "height": 8, "width": 24},
    "training": TRAINING | {"flips": False},
}
SCORED = {"extractor": "embedded", "layer": "320", "rounding": "round", "batch": 8, "shown": 3, "side": SIDE}
NAMES = {"remote_sensing": {"pixel_accuracy", "miou"}, "medical": {"dice"}, "text": {"exact_match", "letters"}}


class Same(nn.Module):
    """A tokenizer that loses nothing but what it is told to."""

    tokens, latent_channels = 1, 1

    def __init__(self, side: int = SIDE, black: bool = False, text: str = "none") -> None:
        super().__init__()
        self.weight, self.side, self.black, self.text = nn.Parameter(torch.zeros(1)), side, black, text
        self.read = []

    def encode(self, images, *, text=None, rng=None):
        assert images.shape[1:] == (3, self.side, self.side)
        self.read.append(text)
        return -torch.ones_like(images) if self.black else images

    def decode(self, tokens, *, rng=None):
        return tokens


def read(folder: Path) -> dict:
    metrics = json.loads((folder / "metrics.json").read_text())
    assert problem(metrics["measure"]) == ""
    return metrics


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, SimpleNamespace]:
    """Of each domain its images, statistics of them, and a network that learned from them for six updates."""
    found = {}
    for name, provider in SETS.items():
        folder = tmp_path_factory.mktemp(name)
        images = domain_job(folder, provider, image_size=SIDE, **FEW)
        domain.run(images)
        spec = {"extractor": "embedded", "layer": "320", "batch": 8}
        spec |= {"reference_samples": 12, "precision_recall_reference": 12}
        (folder / "reference").mkdir()
        statistics = work("reference", folder / "reference", spec, inputs={"dataset": images.out})
        reference.run(statistics)
        (folder / "network").mkdir()
        spec = (WORDS if name == "text" else PIXELS) | {"batch": 8}
        network = work("task_network", folder / "network", spec, inputs={"domain": images.out})
        task_network.run(network)
        found[name] = SimpleNamespace(domain=images.out, reference=statistics.out, network=network.out, spec=spec)
    return found


def scored(model: nn.Module, folder: Path, monkeypatch, made, *, prompts: Path | None = None, **more) -> Path:
    original = task_score.weights.load

    def load(file: Path) -> nn.Module:
        return model if file.parent.name == "tokenizer" else original(file)

    monkeypatch.setattr(task_score.weights, "load", load)
    (folder / "tokenizer").mkdir(parents=True, exist_ok=True)
    inputs = {"domain": made.domain, "reference": made.reference, "task_network": made.network}
    inputs |= {"tokenizer": folder / "tokenizer"} | ({} if prompts is None else {"prompts": prompts})
    spec = SCORED | {"network": {key: made.spec[key] for key in ("module", "training")}} | more
    done = work("task_score", folder, spec, inputs=inputs)
    task_score.run(done)
    return done.out


def controlled(kind: dict, folder: Path, made, coder: Path | None = None, **more) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    inputs = {"domain": made.domain, "reference": made.reference, "task_network": made.network}
    spec = SCORED | {"network": {key: made.spec[key] for key in ("module", "training")}, "control": kind} | more
    done = work("task_control", folder, spec, inputs=inputs | ({} if coder is None else {"patch_coder": coder}))
    task_control.run(done)
    return done.out


# ---- networks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETS)
def test_a_network_learns_from_originals_and_says_what_chance_is(name, made):
    found = read(made[name].network)
    assert found["values"].keys() == NAMES[name] | {f"{number}_chance" for number in NAMES[name]}
    curves = [json.loads(line) for line in (made[name].network / "curves.jsonl").read_text().splitlines()]
    assert [line["step"] for line in curves] == list(range(1, 7)) and curves[-1]["loss"] < curves[0]["loss"]
    assert "trained on originals of" in found["measure"]["task_network"] and found["measure"]["samples"] == 12


def test_chance_is_what_is_right_without_looking(made):
    from tesserae.data.domains import open_answers

    masks = open_answers(made["remote_sensing"].domain, "val").masks
    found = read(made["remote_sensing"].network)["values"]
    assert found["pixel_accuracy_chance"] == pytest.approx(100 * (masks == 0).mean())
    assert found["miou_chance"] == pytest.approx(100 * (masks == 0).mean() / len(np.unique(masks)))
    shapes = open_answers(made["medical"].domain, "val").masks.reshape(12, -1)
    share = shapes[shapes.any(axis=1)].mean(axis=1)
    everywhere = 100 * (2 * share / (1 + share)).mean()
    assert read(made["medical"].network)["values"]["dice_chance"] == pytest.approx(everywhere)
    assert read(made["text"].network)["values"]["exact_match_chance"] == 0  # no word is in both splits


def test_an_encoder_begins_with_its_published_weights(made, tmp_path):
    model = {"encoder": "resnet10t", "widths": [4, 4, 4, 4, 4]}
    published = unet.build(model | {"classes": 2}).encoder.state_dict()
    marked = {name: torch.full_like(tensor, 0.5) for name, tensor in published.items()}
    save_file(marked | {"fc.weight": torch.zeros(3, 4)}, tmp_path / "model.safetensors")
    spec = {"module": "tesserae.task_networks.unet", "model": model, "batch": 8}
    spec |= {"training": TRAINING | {"steps": 1, "lr": 1e-9}, "official": {"file": "model.safetensors"}}
    inputs = {"domain": made["medical"].domain}
    done = replace(work("task_network", tmp_path, spec, inputs=inputs), weights=tmp_path / "model.safetensors")
    task_network.run(done)
    network = task_network.weights.load(done.out / "weights.safetensors")
    assert torch.allclose(network.encoder.state_dict()["conv1.0.weight"], torch.tensor(0.5))
    save_file({"fc.weight": torch.zeros(3, 4)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"model\.safetensors: these weights do not fit the model[\s\S]*missing"):
        task_network.run(done)


# ---- scores -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETS)
def test_a_tokenizer_that_loses_nothing_scores_as_originals_do(name, made, tmp_path, monkeypatch):
    folder = scored(Same(), tmp_path / "same", monkeypatch, made[name])
    found, network = read(folder), read(made[name].network)["values"]
    assert {key: found["values"][key] for key in NAMES[name]} == {key: network[key] for key in NAMES[name]}
    assert found["values"]["rfid"] == pytest.approx(0, abs=1e-3) and found["values"]["psnr"] > 60
    assert found["values"]["rfid_disjoint"] == pytest.approx(found["values"]["rfid_floor"], rel=1e-3)
    assert found["values"]["rfid_floor"] > 10  # two sets of originals are not the same images
    with np.load(folder / "shown.npz") as shown:
        assert np.array_equal(shown["originals"], shown["reconstructions"]) and len(shown["originals"]) == 3
        assert ("read" in shown) == (name == "text") and ("found" in shown) == (name != "text")
    real = read(controlled({"kind": "real"}, tmp_path / "real", made[name]))
    assert {key: real["values"][key] for key in NAMES[name]} == {key: network[key] for key in NAMES[name]}
    assert "psnr" not in real["values"] and "rfid" not in real["deviation"]
    same_measure({"a tokenizer": found["measure"], "originals": real["measure"]}, where="a column")


def test_what_is_lost_is_missed(made, tmp_path, monkeypatch):
    black = read(scored(Same(black=True), tmp_path / "black", monkeypatch, made["medical"]))["values"]
    same = read(scored(Same(), tmp_path / "same", monkeypatch, made["medical"]))["values"]
    assert black["psnr"] < 20 < same["psnr"] and black["rfid"] > same["rfid"] + 10
    nothing = np.zeros((12, SIDE, SIDE), np.uint8)
    assert task_scores.dice(nothing, np.ones_like(nothing)).tolist() == [0] * 12


def test_a_tokenizer_of_another_side_sees_resized_images(made, tmp_path, monkeypatch):
    found = read(scored(Same(side=64), tmp_path / "larger", monkeypatch, made["text"], side=64))
    assert 25 < found["values"]["psnr"] < 60  # twice resized
    with pytest.raises(AssertionError):
        scored(Same(side=64), tmp_path / "other", monkeypatch, made["text"])


def test_prompts_name_no_class(made, tmp_path, monkeypatch):
    features = np.random.default_rng(0).normal(size=(6, 2, 5)).astype(np.float16)
    np.save(tmp_path / "features.npy", features)
    model = Same(text="encoder")
    found = read(scored(model, tmp_path / "a", monkeypatch, made["text"], prompts=tmp_path))
    assert all(torch.equal(text, torch.from_numpy(features[-1:]).float().expand_as(text)) for text in model.read)
    assert found["measure"]["prompt"] == "constant"
    with pytest.raises(ValueError, match="the tokenizer reads prompts, and the job has none"):
        scored(model, tmp_path / "b", monkeypatch, made["text"])


@pytest.mark.parametrize(
    "control",
    [
        {"kind": "mean", "grid": 1},
        {"kind": "components", "grid": 4, "components": 3},
        {"kind": "centres", "grid": 4, "centres": 4},
    ],
)
def test_controls_are_scored_as_tokenizers_are(control, made, tmp_path, monkeypatch):
    (tmp_path / "coder").mkdir()
    # What a tokenizer learned from is of another domain.
    coder = work(
        "patch_coder", tmp_path / "coder", {"control": control, "seed": 0}, inputs={"dataset": made["text"].domain}
    )
    if control["kind"] != "mean":
        patch_coder.run(coder)
    found = read(controlled(control, tmp_path / "c", made["remote_sensing"], coder.out))
    tokenizer = read(scored(Same(), tmp_path / "same", monkeypatch, made["remote_sensing"]))
    assert found["values"].keys() | {"rfid_floor"} == tokenizer["values"].keys()
    differ = {key for key in found["measure"] if found["measure"][key] != tokenizer["measure"].get(key)}
    assert differ == {"latents"}
    assert found["values"]["rfid"] > 10 and found["values"]["psnr"] < 40


def test_a_control_by_chance_has_the_tasks_numbers_alone(made, tmp_path):
    for name in SETS:
        found = read(controlled({"kind": "chance"}, tmp_path / name, made[name]))
        network = read(made[name].network)["values"]
        assert found["values"] == {key: network[f"{key}_chance"] for key in NAMES[name]}


# ---- numbers ----------------------------------------------------------------------------------------------------


def test_numbers_of_masks_follow_their_definitions():
    true = np.array([[[0, 0, 1], [1, 2, task_scores.UNKNOWN]]], np.uint8)
    found = np.array([[[0, 1, 1], [1, 1, 2]]], np.uint8)
    counts = task_scores.confusion(found, true, 4)
    assert counts.tolist() == [[1, 1, 0, 0], [0, 2, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert task_scores.pixel_accuracy(counts) == pytest.approx(100 * 3 / 5)
    assert task_scores.mean_iou(counts) == pytest.approx(100 * (1 / 2 + 2 / 4 + 0) / 3)  # class 3 never occurs
    region = np.array([[[1, 1], [0, 0]], [[0, 0], [0, 0]]], np.uint8)
    assert task_scores.dice(np.ones_like(region), region).tolist() == [pytest.approx(2 * 2 / 6)]
    assert task_scores.exact_match(["ab", "a"], ["ab", "b"]) == 50
    # One letter changed, one missing, one too many, nothing right, far too many: at most all letters are wrong.
    read, words = ["abx", "ac", "abbc", "", "yyyyyyy"], ["abc", "abc", "abc", "abc", "abc"]
    assert task_scores.letters_read(read, words) == pytest.approx(100 * (1 - (1 + 1 + 1 + 3 + 3) / 15))
    for call, said in (
        (lambda: task_scores.confusion(found, true[:, :1], 4), "cannot be compared"),
        (lambda: task_scores.confusion(found, true, 2), "none of 2"),
        (lambda: task_scores.exact_match([], []), "0 readings of 0 words"),
        (lambda: task_scores.pixel_accuracy(np.zeros((2, 2))), "no pixels"),
        (lambda: task_scores.mean_iou(np.zeros((2, 2))), "no pixels"),
    ):
        with pytest.raises(ValueError, match=said):
            call()
