"""Images to features, and from images to numbers: the same numbers as torch-fidelity gives when called directly."""

import hashlib
from itertools import pairwise
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torch_fidelity
from scipy.ndimage import gaussian_filter
from torch_fidelity import feature_extractor_inceptionv3 as inception
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

from tesserae.data.emoji import load_corpus, render
from tesserae.encoders.embedded import EmbeddedNetwork, packaged_weights
from tesserae.metrics import features
from tesserae.metrics.features import EmbeddedExtractor, default_layer, extract, load_extractor, register
from tesserae.metrics.fidelity import fid, inception_score, kid, precision_recall, statistics

ROOT = Path(__file__).resolve().parents[2]


def pictures(count: int, seed: int, contrast: float = 1.0) -> np.ndarray:
    """Images of 4 x 4 tiles of random colours, uint8 (count, 16, 16, 3)."""
    rng = np.random.default_rng(seed)
    tiles = np.repeat(np.repeat(rng.uniform(-1, 1, (count, 4, 4, 3)), 4, axis=1), 4, axis=2)
    return (127.5 + 127 * contrast * tiles).astype(np.uint8)


class Pictures(torch.utils.data.Dataset):
    def __init__(self, images: np.ndarray):
        self.images = torch.from_numpy(images).permute(0, 3, 1, 2)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.images[index]


def test_the_same_numbers_as_torch_fidelity_called_directly():
    generated, real = pictures(40, seed=0, contrast=0.8), pictures(48, seed=1)
    theirs = torch_fidelity.calculate_metrics(
        input1=Pictures(generated), input2=Pictures(real), feature_extractor="embedded", batch_size=16,
        fid=True, isc=True, prc=True, kid=True, isc_splits=4, kid_subsets=5, kid_subset_size=30,
        cuda=False, cache=False, save_cpu_ram=True, verbose=False,
    )  # fmt: skip
    ours, reference = (extract(images, "embedded", ["320", "logits"], 16, "cpu") for images in (generated, real))
    precision, recall = precision_recall(ours["320"], reference["320"])
    assert {
        torch_fidelity.KEY_METRIC_FID: fid(statistics(ours["320"]), statistics(reference["320"])),
        torch_fidelity.KEY_METRIC_ISC_MEAN: inception_score(ours["logits"], splits=4).mean,
        torch_fidelity.KEY_METRIC_ISC_STD: inception_score(ours["logits"], splits=4).std,
        torch_fidelity.KEY_METRIC_KID_MEAN: kid(ours["320"], reference["320"], 5, 30).mean,
        torch_fidelity.KEY_METRIC_PRECISION: precision,
        torch_fidelity.KEY_METRIC_RECALL: recall,
    } == pytest.approx({key: theirs[key] for key in theirs if key not in EXTRA}, rel=1e-6)
    assert 0 < precision < 1


EXTRA = (torch_fidelity.KEY_METRIC_KID_STD, torch_fidelity.KEY_METRIC_F_SCORE)


def test_features_are_those_of_the_network():
    images = pictures(3, seed=0)
    found = extract(images, "embedded", ["logits", "320", "1280"], 2, "cpu")
    expected = EmbeddedNetwork(features.EMBEDDED_SIDE)(torch.from_numpy(images).permute(0, 3, 1, 2))
    assert list(found) == ["logits", "320", "1280"]
    for layer, values in {"320": expected.pooled, "1280": expected.head, "logits": expected.logits}.items():
        torch.testing.assert_close(found[layer], values, atol=1e-4, rtol=1e-4)
        assert found[layer].dtype == torch.float32
        assert not found[layer].is_inference()


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_the_batch_size_does_not_matter(batch_size, monkeypatch):
    images = pictures(20, seed=0)
    expected = extract(images, "embedded", ["320"], 16, "cpu")["320"]
    found = extract(images, "embedded", ["320"], batch_size, "cpu")["320"]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert fid(statistics(found), statistics(expected)) == pytest.approx(0, abs=1e-3)
    monkeypatch.setattr(features, "CPU_BATCH", 3)
    torch.testing.assert_close(extract(images, "embedded", ["320"], 20, "cpu")["320"], expected, atol=1e-4, rtol=1e-4)


def test_memory_maps_are_read_and_features_are_repeatable(tmp_path):
    np.save(tmp_path / "images.npy", pictures(5, seed=0))
    stored = np.load(tmp_path / "images.npy", mmap_mode="r")
    found = extract(stored, "embedded", ["320"], 2, "cpu")["320"]
    assert torch.equal(found, extract(pictures(5, seed=0), "embedded", ["320"], 2, torch.device("cpu"))["320"])


def test_an_extractor_built_in_inference_mode_works_outside_it():
    load_extractor.cache_clear()
    with torch.inference_mode():
        inside = extract(pictures(2, seed=0), "embedded", ["320"], 2, "cpu")["320"]
    assert torch.equal(inside, extract(pictures(2, seed=0), "embedded", ["320"], 2, "cpu")["320"])


@pytest.fixture(scope="module")
def glyphs() -> np.ndarray:
    """100 images of the embedded corpus, as large as pocket scale's."""
    corpus = load_corpus(ROOT / "data" / "emoji" / "emoji.npz")
    chosen = np.random.default_rng(0).permutation(len(corpus.names))[:100]
    return render(corpus, chosen, [0] * 100, size=32, seed=0)


def blurred(images: np.ndarray, sigma: float) -> np.ndarray:
    return gaussian_filter(images.astype(np.float32), (0, sigma, sigma, 0))


def noisy(images: np.ndarray, scale: float) -> np.ndarray:
    return images + scale * np.random.default_rng(1).standard_normal(images.shape)


@pytest.mark.parametrize(("damage", "levels"), [(blurred, (0.5, 1, 2)), (noisy, (4, 16, 64))])
def test_fid_of_glyphs_rises_with_damage(glyphs, damage, levels):
    """Against the very images that are damaged, since two sets of 100 are far apart by their size alone."""
    reference = statistics(extract(glyphs, "embedded", ["320"], 16, "cpu")["320"])
    distances = [0.0]
    for level in levels:
        damaged = np.clip(damage(glyphs, level), 0, 255).astype(np.uint8)
        distances.append(fid(statistics(extract(damaged, "embedded", ["320"], 16, "cpu")["320"]), reference))
    assert all(more > 1.2 * less for less, more in pairwise(distances))


def test_registering_again_is_harmless():
    register()
    register()
    assert FEATURE_EXTRACTORS_REGISTRY["embedded"] is EmbeddedExtractor


@pytest.mark.parametrize(
    ("extractor", "layers"),
    [
        ("embedded", {"fid": "320", "kid": "320", "prc": "320", "isc": "logits"}),
        ("inception-v3-compat", {"fid": "2048", "kid": "2048", "isc": "logits_unbiased"}),
    ],
)
def test_default_layers(extractor, layers):
    assert {metric: default_layer(extractor, metric) for metric in layers} == layers


IMAGES = pictures(2, seed=0)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"images": IMAGES.astype(np.float32)}, TypeError, "uint8 array, not float32"),
        ({"images": torch.from_numpy(IMAGES)}, TypeError, "uint8 array, not Tensor"),
        ({"images": IMAGES.transpose(0, 3, 1, 2)}, ValueError, r"\(N, H, W, 3\) with N > 0, not \(2, 3, 16, 16\)"),
        ({"images": IMAGES[0]}, ValueError, r"not \(16, 16, 3\)"),
        ({"images": IMAGES[:0]}, ValueError, "N > 0"),
        ({"extractor": "resnet"}, ValueError, "unknown feature extractor resnet; known: .*embedded"),
        ({"layers": ["2048"]}, ValueError, "provides the layers 320, 1280, logits"),
        ({"layers": ["320", "320"]}, ValueError, "each once"),
        ({"layers": []}, ValueError, "choose some"),
        ({"batch_size": 0}, ValueError, "positive, not 0"),
    ],
)
def test_impossible_requests_are_refused(change, error, message):
    request = {"images": IMAGES, "extractor": "embedded", "layers": ["320"], "batch_size": 2, "device": "cpu"}
    with pytest.raises(error, match=message):
        extract(**{**request, **change})


def test_the_extractor_refuses_what_torch_fidelity_should_not_send():
    with pytest.raises(TypeError, match=r"uint8 images, not torch\.float32"):
        load_extractor("embedded", ("320",), "cpu", None)(torch.zeros(1, 3, 16, 16))
    with pytest.raises(ValueError, match="float32, not in float64"):
        EmbeddedExtractor("embedded", ["320"], feature_extractor_internal_dtype="float64")


def test_weights_on_disk_are_used_and_checked(tmp_path):
    copy = tmp_path / "copy.pth"
    copy.write_bytes(packaged_weights().read_bytes())
    found = extract(IMAGES, "embedded", ["320"], 2, "cpu", weights=copy)
    assert torch.equal(found["320"], extract(IMAGES, "embedded", ["320"], 2, "cpu")["320"])
    copy.write_bytes(b"something else")
    load_extractor.cache_clear()
    for extractor, layer in (("embedded", "320"), ("inception-v3-compat", "2048")):
        with pytest.raises(ValueError, match=r"copy\.pth is not the .*sha256"):
            extract(IMAGES, extractor, [layer], 2, "cpu", weights=copy)
        with pytest.raises(FileNotFoundError, match=r"nowhere\.pth"):
            extract(IMAGES, extractor, [layer], 2, "cpu", weights=tmp_path / "nowhere.pth")
    with pytest.raises(ValueError, match="not vgg16"):
        extract(IMAGES, "vgg16", ["fc2_relu"], 2, "cpu", weights=copy)


def test_inception_without_network_says_what_to_do(monkeypatch):
    def unreachable(*arguments, **settings):
        raise URLError("no route to host")

    monkeypatch.setattr(inception, "load_state_dict_from_url", unreachable)
    with pytest.raises(RuntimeError, match=r"inception-v3-compat could not be.*no route to host.*`weights`"):
        extract(IMAGES, "inception-v3-compat", ["2048"], 2, "cpu")


def test_inception_runs_with_weights_from_disk(tmp_path, monkeypatch):
    """The code path of paper scale, with random weights in the place of the published ones."""
    cls = inception.FeatureExtractorInceptionV3
    with monkeypatch.context() as patch:
        patch.setattr(inception, "load_state_dict_from_url", lambda *arguments, **settings: {})
        patch.setattr(cls, "load_state_dict", lambda self, weights: None)
        torch.save(cls("random", ["2048"]).state_dict(), tmp_path / "random.pth")
    digest = hashlib.sha256((tmp_path / "random.pth").read_bytes()).hexdigest()
    monkeypatch.setattr(features, "INCEPTION_SHA256", digest)
    layers = ["2048", "logits_unbiased"]
    found = extract(IMAGES, "inception-v3-compat", layers, 1, "cpu", weights=tmp_path / "random.pth")
    load_extractor.cache_clear()
    assert {layer: tuple(values.shape) for layer, values in found.items()} == {
        "2048": (2, 2048), "logits_unbiased": (2, 1008)
    }  # fmt: skip
