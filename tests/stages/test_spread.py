"""The stage `spread`: every training sampled several times, at its own guidance and at one for all."""

import json

import numpy as np
import pytest
import torch

from tesserae.config.project import read_project
from tesserae.metrics.fidelity import statistics
from tesserae.stages import spread
from tesserae.stages.shared.sampling import Drawer
from tesserae.workflow.graph.whole import jobs
from tests.config.test_config import edit
from tests.stages.test_throughput import SAMPLER, networks
from tests.stages.works import work

SPEC = {
    **{"trainings": [1, 2, 3], "samplings": 2, "parts": 2, "samples": 24, "classes": 3, "labels": "cycled"},
    **{"seed": 0, "batch": 16, "rounding": "round", "selected": "cfg", "scale": "tests", "neighbourhood": 3},
    **{"extractor": "few", "layer": "4", "splits": 2, "sampler": {k: v for k, v in SAMPLER.items() if k != "guidance"}},
}


def features(images: np.ndarray) -> torch.Tensor:
    """Means of the quarters of each image (N, 12)."""
    quarters = torch.from_numpy(images).float().permute(0, 3, 1, 2)
    return torch.nn.functional.adaptive_avg_pool2d(quarters, 2).flatten(1)


@pytest.fixture
def job(tmp_path, monkeypatch):
    monkeypatch.setattr(spread, "default_layer", lambda extractor, what: "logits")
    asked = []

    def extract(images, extractor, layers, *, batch_size, device, side):
        asked.append(images)
        return {"4": features(images), "logits": features(images) / 50}

    monkeypatch.setattr(spread, "extract", extract)
    reference = tmp_path / "reference"
    reference.mkdir()
    real = np.random.default_rng(0).integers(0, 256, (60, 16, 16, 3)).astype(np.uint8)
    statistics(features(real)).save(reference / "train.npz")
    np.save(reference / "val_features.npy", features(real).numpy())
    inputs = {"reference": reference}
    for seed, guidance in ((1, 3.0), (2, 3.0), (3, 5.0)):
        torch.manual_seed(seed)
        inputs |= {f"seed{seed}_{name}": path for name, path in networks(tmp_path / f"seed{seed}").items()}
        searched = tmp_path / f"seed{seed}" / "search"
        searched.mkdir()
        point = {"guidance": guidance, "temperature": None}
        (searched / "search.json").write_text(json.dumps({"selected": {"cfg": point}}))
        inputs[f"seed{seed}_search"] = searched
    made = work("spread", tmp_path, SPEC, inputs=inputs)
    return made, asked


def test_every_training_is_sampled_with_the_same_seeds_at_two_guidances(job, monkeypatch):
    made, asked = job
    guidances, draw = [], Drawer.draw
    monkeypatch.setattr(
        Drawer,
        "draw",
        lambda self, labels, seeds, guidance, *more: (
            guidances.append(guidance) or draw(self, labels, seeds, guidance, *more)
        ),
    )
    numbers = spread.run(made)
    found = json.loads((made.out / "spread.json").read_text())
    assert len(asked) == 3 * 2 + 2  # the third search alone selected another guidance
    assert all(len(images) == 24 for images in asked)
    assert not np.array_equal(asked[0], asked[1]) and not np.array_equal(asked[0], asked[2])
    for name, measured in found["measures"].items():
        assert np.shape(measured["parts"]) == (3, 2, 2) and np.shape(measured["own"]) == (3, 2)
        assert measured["own"][:2] == measured["common"][:2]
        assert numbers[f"{name}_sd"] == pytest.approx(sum(measured["components"].values()) ** 0.5)
    assert guidances == [3.0] * 2 * 2 * 2 + [3.0, 3.0, 5.0, 5.0] * 2  # two batches each; the third's own is another
    first = statistics(features(asked[0]))
    assert found["measures"]["fid"]["common"][0][0] == pytest.approx(
        spread.fid(first, spread.Statistics.load(made.inputs["reference"] / "train.npz"))
    )
    text = (made.out / "spread.md").read_text()
    assert text.count("\n| ") >= 5 and "2, 3 and 6 degrees of freedom" in text
    assert "| fid |" in text and "not known" not in text


def test_one_training_tells_of_its_samples_alone(job):
    made, _ = job
    made.spec["trainings"] = [1]
    spread.run(made)
    text = (made.out / "spread.md").read_text()
    assert text.count("not known") == 3 * 4  # training, search and what to spend on, of four measures
    made.spec["trainings"] = [1, 2, 3]


def test_what_is_asked_for_is_no_part_of_a_run(project):
    edit(project, "scales/smoke.yaml", lambda scale: scale.update(seeds={"default": 1, "sit_b_joint": 3}))
    before = jobs(read_project(project, "smoke", ["detok"]))
    told = {"recipes": ["sit_b_joint", "llamagen_b_bb64"], "samplings": 5}  # the second is of a paper that is not run
    edit(project, "scales/smoke.yaml", lambda scale: scale.update(spread=told))
    found = jobs(read_project(project, "smoke", ["detok"]))
    assert found.keys() - before.keys() == {"spread/sit_b_joint"}
    assert all(found[name] == job for name, job in before.items())
    job = found["spread/sit_b_joint"]
    assert job.inputs["seed3_generator"] == "generator/sit_b_joint.seed3"
    assert job.inputs["seed2_search"] == "search/sit_b_joint.seed2"
    assert job.spec["trainings"] == [1, 2, 3] and job.spec["samplings"] == 5
    assert not [name for name, other in found.items() if job.id in other.inputs.values()]
