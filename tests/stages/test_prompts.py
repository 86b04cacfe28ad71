"""The stage `prompts`: one row of features for each class, and one for the constant prompt."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tesserae.data.cache import write_cache
from tesserae.data.providers import open_provider
from tesserae.encoders.text import text_features
from tesserae.stages import prompts
from tests.data import trees
from tests.stages.works import work

SPEC = {"encoder": "minilm", "template": "A photo of a {}.", "tokens": 20, "batch": 2}


@pytest.fixture
def job(tmp_path: Path):
    """A job of that spec over a data set of the classes of two synsets."""
    trees.imagenet(tmp_path / "imagenet")
    provider = open_provider("imagenet", root=tmp_path / "imagenet", classes=2)
    write_cache(provider, "train", size=4, folder=tmp_path / "dataset")
    return lambda **changes: work("prompts", tmp_path, SPEC | changes, inputs={"dataset": tmp_path / "dataset"})


def test_a_row_for_each_class_and_one_for_the_constant_prompt(job):
    done = job()
    assert prompts.run(done) == {"prompts": 3}
    written = json.loads((done.out / "prompts.json").read_text())
    springer = "English springer, English springer spaniel"
    assert written == ["A photo of a tench, Tinca tinca.", f"A photo of a {springer}.", "A photo of a thing."]
    features = np.load(done.out / "features.npy")
    assert features.shape == (3, 20, 384) and features.dtype == np.float16
    expected = text_features("minilm", written, tokens=20, device=torch.device("cpu"))
    np.testing.assert_allclose(features, expected.numpy(), atol=2e-3)
    done = job(template="{}", batch=8)
    prompts.run(done)
    assert json.loads((done.out / "prompts.json").read_text())[1:] == [springer, "thing"]


def test_too_few_tokens_are_refused(job):
    with pytest.raises(ValueError, match="5 tokens cut prompts down to the same words"):
        prompts.run(job(tokens=5))


def test_two_classes_may_have_one_name(job, monkeypatch):
    monkeypatch.setattr(prompts, "read_index", lambda folder: {"class_names": ["crane", "crane"]})
    done = job()
    prompts.run(done)
    features = np.load(done.out / "features.npy")
    assert (features[0] == features[1]).all() and (features[0] != features[2]).any()


def test_a_set_without_classes_has_no_prompts(job, monkeypatch):
    monkeypatch.setattr(prompts, "read_index", lambda folder: {"class_names": []})
    with pytest.raises(ValueError, match="without classes"):
        prompts.run(job())
