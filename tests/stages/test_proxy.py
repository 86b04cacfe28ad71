"""A tokenizer in two stages, through the stages: codes of its proxy first, then pixels with a fixed encoder."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tesserae.stages import codes, tokenizer
from tesserae.stages.shared.training import new_network
from tesserae.tokenizers import maskgit_vqgan
from tesserae.training import weights
from tests.small import MASKGIT_VQGAN as PROXY
from tests.small import TITOK as TINY
from tests.stages.works import work
from tests.tokenizers.test_titok import PIXELS
from tests.training.together import TRAINING

MODULE, PROXY_MODULE = "tesserae.tokenizers.titok", "tesserae.tokenizers.maskgit_vqgan"
NETWORK = ("channels", "multipliers", "res_blocks", "codebook_size", "code_width")
SIDE = PROXY["image_size"]
PATCH = 2 ** (len(PROXY["multipliers"]) - 1)
SIZE = TINY | {"image_size": SIDE, "patch_size": PATCH, "proxy": {key: PROXY[key] for key in NETWORK}}
FIRST = {"module": MODULE, "model": SIZE | {"learns": "codes"}, "training": TRAINING | {"steps": 6}}
SECOND = FIRST | {"model": SIZE | {"learns": "pixels", "gan_start_step": 3}}


@pytest.fixture(autouse=True)
def corpus(monkeypatch):
    """Seven pictures of noise."""
    images = np.random.default_rng(0).integers(0, 256, (7, SIDE, SIDE, 3)).astype(np.uint8)
    data = SimpleNamespace(images=images, labels=np.arange(7) % 3)
    for stage in (tokenizer, codes):
        monkeypatch.setattr(stage, "open_cache", lambda folder, split: data)
    return data


@pytest.fixture
def proxy(tmp_path):
    """Inputs of the first stage: a tokenizer, and its codes of all pictures in two parts."""
    folder = tmp_path / "proxy"
    folder.mkdir()
    torch.manual_seed(5)
    model = maskgit_vqgan.build(PROXY)
    kept = weights.used(model, model.state_dict())
    weights.save(folder / "weights.safetensors", kept, PROXY_MODULE, PROXY)
    inputs = {"dataset": tmp_path, "proxy": folder}
    for shard in (1, 2):
        part = tmp_path / f"codes{shard}"
        part.mkdir()
        spec = {"tokenizer": PROXY_MODULE, "batch": 4, "shard": shard, "shards": 2}
        job = work("codes", part, spec, inputs={"dataset": tmp_path, "tokenizer": folder})
        codes.run(job)
        inputs[f"codes.{shard}"] = job.out
    return inputs


def trained(folder, spec, inputs):
    folder.mkdir()
    job = work("tokenizer", folder, spec, inputs=inputs)
    tokenizer.run(job)
    return job.out, load_file(job.out / "weights.safetensors")


def parts(state):
    return {name.split(".")[0] for name in state}


def test_the_two_stages(tmp_path, proxy):
    first, learned = trained(tmp_path / "first", FIRST, proxy)
    theirs = load_file(proxy["proxy"] / "weights.safetensors")
    assert torch.equal(learned["pixel_quantize.embedding.weight"], theirs["quantize.embedding.weight"])
    for name in (name for name in theirs if name.startswith("decoder.")):
        assert torch.equal(learned[f"pixel_{name}"], theirs[name])
    curve = [json.loads(line) for line in (first / "curves.jsonl").read_text().splitlines()]
    assert {"codes", "quantizer", "predicted", "usage", "perplexity"} <= curve[-1].keys()
    assert "reconstruction" not in curve[-1]
    start = {"dataset": tmp_path, "start": first}
    second, tuned = trained(tmp_path / "second", SECOND, start)
    assert tuned.keys() == learned.keys()
    moved = {name for name in learned if not torch.equal(learned[name], tuned[name])}
    assert parts(moved) == set(PIXELS) and "pixel_quantize.embedding.weight" in moved
    assert not [name for name in tuned if name.startswith(("discriminator", "lecam"))]
    curve = [json.loads(line) for line in (second / "curves.jsonl").read_text().splitlines()]
    assert "gan" not in curve[2] and {"gan", "hinge", "lecam"} <= curve[3].keys() and "codes" not in curve[3]
    images = 2 * torch.rand(3, 3, SIDE, SIDE) - 1
    one, other = (weights.load(folder / "weights.safetensors") for folder in (first, second))
    found = one.encode(images)
    assert torch.equal(found, other.encode(images)) and not torch.equal(one.decode(found), other.decode(found))


def test_codes_are_those_of_the_very_picture(tmp_path, proxy, monkeypatch):
    """Of the mirror image, if the tokenizer sees that."""
    seen = []

    def look(work, model, samples, batch_of):
        seen.extend(batch_of(np.array([6, 0, 3, 3, 5]), torch.Generator().manual_seed(seed)) for seed in (1, 2))
        return SimpleNamespace(numbers={})

    monkeypatch.setattr(tokenizer, "run_training", look)
    tokenizer.run(work("tokenizer", tmp_path, FIRST, inputs=proxy))
    model = weights.load(proxy["proxy"] / "weights.safetensors")
    for batch in seen:
        assert batch["codes"].dtype == torch.int64 and torch.equal(batch["codes"], model.encode(batch["images"]))
    assert len({tuple(row) for batch in seen for row in batch["codes"][2:4].tolist()}) == 2  # as it is and mirrored


def test_a_proxy_of_another_network_is_refused(tmp_path, proxy):
    other = FIRST | {"model": FIRST["model"] | {"proxy": SIZE["proxy"] | {"codebook_size": PROXY["codebook_size"] + 1}}}
    with pytest.raises(ValueError, match="the proxy's network is not the one that `pixel_quantize` was built for"):
        trained(tmp_path / "first", other, proxy)


def test_a_start_of_another_network_is_refused(tmp_path, proxy):
    first, _ = trained(tmp_path / "first", FIRST, proxy)
    larger = SECOND | {"model": SECOND["model"] | {"decoder": SIZE["decoder"] | {"blocks": 2}}}
    with pytest.raises(ValueError, match=r"weights.safetensors and tesserae.tokenizers.titok disagree on"):
        trained(tmp_path / "second", larger, {"dataset": tmp_path, "start": first})


def test_narrow_networks_keep_what_the_proxy_gives(tmp_path, proxy):
    """First weights that suit narrow networks come before the proxy's, in its decoder as well."""
    narrow = FIRST | {"training": FIRST["training"] | {"first_weights": "narrow"}}
    job = work("tokenizer", tmp_path, narrow)
    before = new_network(job).pixel_decoder.conv_in.weight
    _, learned = trained(tmp_path / "first", narrow, proxy)
    theirs = load_file(proxy["proxy"] / "weights.safetensors")["decoder.conv_in.weight"]
    assert torch.equal(learned["pixel_decoder.conv_in.weight"], theirs) and not torch.equal(before, theirs)


def test_a_tokenizer_may_learn_codes_twice(tmp_path, proxy):
    """SFTok's second stage goes on from its first with everything that learns; only the third leaves the encoder."""
    sftok = SIZE | {"replaced": 1.0, "unmasked_weight": 0.1, "steps": 4, "choice_temperature": 1.0}
    states, start = [], {}
    for stage in (
        {"learns": "codes", "replaced": None, "steps": 1},
        {"learns": "codes"},
        {"learns": "pixels"},
    ):
        spec = FIRST | {"module": "tesserae.tokenizers.sftok", "model": sftok | stage}
        given = proxy if stage["learns"] == "codes" else {"dataset": tmp_path}
        folder, state = trained(tmp_path / str(len(states)), spec, given | start)
        states.append(state)
        start = {"start": folder}
    learned = {"encoder", "latent_tokens", "quantize", "decoder"}
    moved = [
        parts(name for name in after if not torch.equal(before[name], after[name]))
        for before, after in zip(states[:-1], states[1:], strict=True)
    ]
    assert moved == [learned, set(PIXELS)]
