"""The stage `objectness`, on a tokenizer of which one token sees the object, in one block and not at once."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from tesserae import contracts
from tesserae.config.stages import STAGES
from tesserae.data.masks import write_masks
from tesserae.lineage.measures.registry import kind_of, problem
from tesserae.stages import objectness as stage
from tests.stages.works import work

COUNT, SIDE, GRID, TOKENS, DEPTH = 10, 16, 8, 8, 4
SPEC = {"batch": 4, "shown": 3, "seed": 5, "shares": [10, 20, 30, 40], "share": 30}
SPEC |= {"layer": 24, "blocks": 28, "time": 0.5, "times": [0.1, 0.9], "steps": 10, "tokenizer": "x"}


class Seer(nn.Module):
    """Its codes are the grey levels of tiles. From t = 0.5 on, in block 2, its token 3 looks at what is bright."""

    tokens, vocabulary = GRID**2, 256
    attention_blocks, attention_mask = DEPTH, "causal"

    def encode(self, images, *, rng=None):
        return ((nn.functional.avg_pool2d(images.mean(1), SIDE // GRID) + 1) * 127.5).round().long().flatten(1)

    def decode(self, tokens):
        tiles = tokens.view(-1, 1, GRID, GRID).float() / 127.5 - 1
        return tiles.repeat_interleave(SIDE // GRID, 2).repeat_interleave(SIDE // GRID, 3).expand(-1, 3, -1, -1)

    def message_attention(self, codes, wanted, *, mask, steps):
        for time in sorted(wanted):
            for layer in wanted[time]:
                if not 0 <= layer < DEPTH:
                    raise ValueError(f"block {layer}")
                rng = torch.Generator().manual_seed(layer)
                blind = torch.rand(1, TOKENS, GRID, GRID, generator=rng).expand(len(codes), -1, -1, -1).clone()
                seen = blind.clone()
                if time >= 0.5 and layer == 2 and mask == "causal":
                    seen[:, 3] = codes.view(-1, GRID, GRID).float()
                yield time, layer, seen, blind

    def freeze_encoder(self):
        raise ValueError("nothing to freeze")

    def losses(self, batch, step, rng):
        yield "all", {}

    def parameter_groups(self):
        return {"all": []}

    def no_weight_decay(self, name, parameter):
        return True


@pytest.fixture
def job(monkeypatch, tmp_path):
    """Images with a bright rectangle on a dark ground, which is what the mask says."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 40, (COUNT, SIDE, SIDE, 3)).astype(np.uint8)
    masks = np.zeros((COUNT, SIDE, SIDE), np.uint8)
    for image, mask, (top, left) in zip(images, masks, rng.integers(0, 4, (COUNT, 2)) * 2, strict=True):
        mask[top : top + 8, left : left + 10] = 1  # 80 of 256 pixels
        image[mask > 0] += 200
    folder = tmp_path / "rectangles"
    folder.mkdir()
    write_masks(folder, zip(images, masks, strict=True), count=COUNT, size=SIDE, about={})
    monkeypatch.setattr(stage.weights, "load", lambda file: Seer())

    def made(**more):
        return work("objectness", tmp_path, SPEC | more, inputs={"masks": folder, "tokenizer": tmp_path})

    return made


def test_the_tokenizer_of_these_tests_meets_its_contract():
    contracts.check_tokenizer(Seer())
    lacking = type("Lacking", (Seer,), {"attention_blocks": None})()
    with pytest.raises(TypeError, match=r"its `attention_blocks` is None, not an int \(AttendsToImages\)"):
        contracts.check_tokenizer(lacking)


def test_a_token_that_sees_the_object_is_far_above_chance(job):
    asked = job()
    values = stage.run(asked)
    assert values.keys() <= set(STAGES["objectness"].values)
    assert values["miou"] == values["miou_30"] == values["miou_t50"] > 0.85
    assert values["ceiling"] == pytest.approx(77 / 80) and values["ceiling_10"] == pytest.approx(26 / 80)
    assert values["chance"] < 0.6 and values["another"] < values["miou"] - 0.2 and values["middle"] < 0.8
    assert values["object_percent"] == pytest.approx(100 * 80 / 256)
    for share in SPEC["shares"]:
        assert values[f"miou_{share}"] <= values[f"ceiling_{share}"] + 1e-9


def test_what_sees_nothing_is_as_good_as_chance(job):
    """Before t = 0.5, in other blocks, and of what positions ask: random maps of one kind or the other."""
    asked = job()
    values = stage.run(asked)
    layers = {entry["layer"]: entry for entry in json.loads((asked.out / "metrics.json").read_text())["layers"]}
    assert list(layers) == [0, 1, 2, 3] and layers[2]["miou"] == values["miou"]
    assert values["miou_t90"] == pytest.approx(values["miou"])  # block 2 alike from 0.5 on
    pairs = [(values[f"miou_{view}"], values[f"chance_{view}"]) for view in ("t10", "image_to_message")]
    pairs += [(layers[layer]["miou"], layers[layer]["chance"]) for layer in (0, 1, 3)]
    for miou, chance in pairs:
        assert miou == pytest.approx(chance, abs=0.08) and miou < 0.6


def test_no_number_depends_on_the_batch_or_on_what_else_is_asked(job):
    values = stage.run(job())
    assert stage.run(job(batch=3)) == pytest.approx(values)
    alone = stage.run(job(times=[], shares=[30]))
    assert {name: values[name] for name in alone} == pytest.approx(alone)
    assert stage.run(job(seed=6))["chance"] != values["chance"]


def test_its_measure_says_where_attention_was_read(job):
    asked = job()
    stage.run(asked)
    record = json.loads((asked.out / "metrics.json").read_text())["measure"]
    assert problem(record) == ""
    said = kind_of(record).described(record)
    assert "rectangles, 10 samples" in said and "30 %" in said and "block 24 of 28" in said and "t = 0.5" in said


def test_arrays_are_of_the_tokens_that_count(job):
    asked = job()
    stage.run(asked)
    found = np.load(asked.out / "objectness.npz")
    assert found["originals"].shape == (3, SIDE, SIDE, 3) and found["masks"].dtype == bool
    assert found["best_maps"].shape == (3, 4, GRID, GRID) and found["shares"].tolist() == SPEC["shares"]
    assert (found["tokens"][:, 0] == 3).all() and found["maps"].shape == (3, stage.TOKENS, GRID, GRID)
    assert all(len(set(tokens)) == stage.TOKENS for tokens in found["tokens"].tolist())
    assert np.array_equal(found["maps"][:, 0], found["best_maps"][:, 2])
    with np.load(asked.out / "objectness.npz") as again:
        assert (again["best"][:, 2] > 0.8).all()


def test_tokens_are_shown_that_look_elsewhere():
    maps = torch.zeros(4, 2, 2)
    maps[0, 0, 0] = maps[1, 0, 0] = maps[2, 1, 1] = maps[3, 0, 1] = 1.0
    assert stage.spread_out(maps, 0, 3, 25).tolist() == [0, 2, 3]
    assert stage.spread_out(maps, 0, 9, 25).tolist() == [0, 2, 3, 1]


def test_the_block_is_in_proportion_and_never_the_last():
    """App. C names block 24 of XL's 28; B has 12, L 24."""
    assert [stage.layer_of(24, 28, depth) for depth in (28, 12, 24, 8, 4, 2, 1)] == [24, 10, 21, 6, 2, 0, 0]


def test_weights_trained_without_a_mask_are_read_both_ways(job, monkeypatch):
    assert "miou_unmasked" not in stage.run(job())
    monkeypatch.setattr(Seer, "attention_mask", "additive_one")
    values = stage.run(job())
    assert values["miou"] > 0.85 and values["miou_unmasked"] < 0.6
    assert values.keys() <= set(STAGES["objectness"].values)


def test_what_cannot_be_measured_is_said(job, monkeypatch, tmp_path):
    for name in ("message_attention",):
        monkeypatch.delattr(Seer, name)
    with pytest.raises(ValueError, match=r"Seer shows no attention.*AttendsToImages.*take its row out"):
        stage.run(job())
    monkeypatch.undo()
    one = tmp_path / "one"
    one.mkdir()
    pair = np.zeros((SIDE, SIDE, 3), np.uint8), np.ones((SIDE, SIDE), np.uint8)
    write_masks(one, iter([pair]), count=1, size=SIDE, about={})
    monkeypatch.setattr(stage.weights, "load", lambda file: Seer())
    with pytest.raises(ValueError, match="one has 1 images: maps of another one need two"):
        stage.run(work("objectness", tmp_path, SPEC, inputs={"masks": one, "tokenizer": tmp_path}))
