"""A fine-tuned tokenizer, and the tokens of one: the encoder stays, so its latents stay."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tesserae.stages import tokenizer, tokens
from tesserae.stages.shared.token_shards import read_sums, standardisation
from tesserae.tokenizers import detok
from tesserae.training import weights
from tests.small import SMALLER
from tests.stages.works import work
from tests.training.together import TRAINING

MODULE = "tesserae.tokenizers.detok"
SPEC = {"module": MODULE, "model": SMALLER, "training": TRAINING | {"steps": 6}}
TUNED = SPEC | {"model": SMALLER | {"gamma": 0.0, "mask_ratio": 0.0, "gan_start_step": 0}}
PUBLISHED = {"mean": [0.5, -0.5, 0.0, 1.0], "std": [2.0, 3.0, 4.0, 5.0]}


@pytest.fixture(autouse=True)
def corpus(monkeypatch):
    """Seven pictures of noise."""
    images = np.random.default_rng(0).integers(0, 256, (7, 16, 16, 3)).astype(np.uint8)
    data = SimpleNamespace(images=images, labels=np.arange(7) % 3)
    for stage in (tokenizer, tokens):
        monkeypatch.setattr(stage, "open_cache", lambda folder, split: data)
    return data


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    folder = tmp_path_factory.mktemp("start")
    torch.manual_seed(5)
    model = detok.build(SMALLER)
    weights.save(folder / "weights.safetensors", weights.used(model, model.state_dict()), MODULE, SMALLER)
    return folder


def trained(folder, spec, **inputs):
    folder.mkdir(exist_ok=True)
    job = work("tokenizer", folder, spec, inputs={"dataset": folder, **inputs})
    tokenizer.run(job)
    return job.out, load_file(job.out / "weights.safetensors")


def test_fine_tuning_trains_the_decoder_and_leaves_the_encoder_bit_for_bit(tmp_path, start):
    out, tuned = trained(tmp_path / "tuned", TUNED, start=start)
    before = load_file(start / "weights.safetensors")
    moved = {name.split(".")[0] for name in before if not torch.equal(before[name], tuned[name])}
    assert tuned.keys() == before.keys() and moved == {"decoder"}
    assert not [name for name in tuned if name.startswith("discriminator")]
    images = 2 * torch.rand(2, 3, 16, 16) - 1
    one, other = (weights.load(folder / "weights.safetensors") for folder in (start, out))
    assert torch.equal(one.posterior(images).mean, other.posterior(images).mean)
    assert not torch.equal(one.decode(one.posterior(images).mean), other.decode(one.posterior(images).mean))
    _, anew = trained(tmp_path / "anew", TUNED)
    assert not all(torch.equal(anew[name], before[name]) for name in before if name.startswith("encoder."))


def test_a_start_of_another_network_is_refused(tmp_path, start):
    larger = SMALLER | {"decoder": SMALLER["decoder"] | {"blocks": 2}}
    with pytest.raises(ValueError, match=r"weights.safetensors and tesserae.tokenizers.detok disagree on"):
        trained(tmp_path, TUNED | {"model": larger}, start=start)


# ---- tokens -----------------------------------------------------------------------------------------------------


def cached(folder, start, shard=1, shards=1, **more):
    spec = {"tokenizer": MODULE, "batch": 4, "shard": shard, "shards": shards, **more}
    folder.mkdir()
    job = work("tokens", folder, spec, inputs={"dataset": folder, "tokenizer": start})
    tokens.run(job)
    return job.out


def test_published_constants_take_the_place_of_the_computed_ones(tmp_path, start):
    computed = cached(tmp_path / "computed", start)
    moments = np.load(computed / "moments.npy")[:, 0, :, :4].reshape(-1, 4).astype(np.float64)
    mean, std = standardisation([computed])
    np.testing.assert_allclose(mean, moments.mean(0), atol=1e-6)
    np.testing.assert_allclose(std, moments.std(0), rtol=1e-5)

    halves = [cached(tmp_path / f"{k}", start, k, 2, standardisation=PUBLISHED) for k in (1, 2)]
    mean, std = standardisation(halves)
    assert (mean.tolist(), std.tolist()) == (PUBLISHED["mean"], PUBLISHED["std"])
    for ours, theirs in zip(read_sums(halves), read_sums([computed]), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)  # what the tokens are does not change

    one = cached(tmp_path / "one", start, standardisation={"mean": 0.0, "std": 4.3})  # one number for all channels
    assert standardisation([one])[1].tolist() == pytest.approx([4.3] * 4)
