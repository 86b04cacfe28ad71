"""Stages that look at tokenizers which score patches, on one whose codes are the grey levels of an image's tiles."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from tesserae import bits, contracts
from tesserae.config.controls import rate
from tesserae.config.resolve import Tokens
from tesserae.lineage.measures.registry import problem
from tesserae.metrics.fidelity import statistics
from tesserae.metrics.reconstruction import psnr
from tesserae.stages import kept_tokens, selection, token_counts, truncation
from tesserae.stages.shared import recoding
from tesserae.stages.shared.scoring import scored
from tesserae.tokenizers import tatok_filtering as dtf
from tests.stages.works import work

COUNT, SIDE, GRID = 9, 16, 4
PATCHES = GRID**2
EVALUATION = {"extractor": "plain", "layer": "1", "splits": 2, "batch": 4, "rounding": "round", "seed": 5}
TRUNCATION = EVALUATION | {"patches": 31, "part": 14, "curve": [2, 4, 10, 20], "curve_points": None}
KEPT = {"batch": 4, "shown": 3, "seed": 5, "epsilons": [0.05, 0.3, 0.6], "blank_epsilon": 0.25}


class Tiles(nn.Module):
    """A code for the image and one for the grey level of each tile; bright tiles are worth more than dark ones."""

    tokens, vocabulary, places = 1 + PATCHES, 256, PATCHES
    codebooks = {"global": slice(1), "patch": slice(1, None)}

    def __init__(self, epsilon: float = 0.5):
        super().__init__()
        self.epsilon = epsilon

    def levels(self, images):
        tiles = images.mean(dim=1).unfold(1, GRID, GRID).unfold(2, GRID, GRID).mean(dim=(3, 4)).flatten(1)
        return ((tiles + 1) * 127.5).round()

    def all_codes(self, images):
        levels = self.levels(images)
        return torch.cat([levels.mean(dim=1, keepdim=True), levels], dim=1).long()

    def scores(self, images):
        return self.levels(images) / 255

    def keeps(self, scores, epsilon):
        ranking = dtf.rank(scores)
        return dtf.first_of(ranking.order, dtf.lengths(ranking.cumulative, epsilon))

    def encode(self, images, *, rng=None):
        return self.encode_by(images, "score")

    def encode_by(self, images, order):
        scores, codes = self.scores(images), self.all_codes(images)
        lengths = self.keeps(scores, self.epsilon).sum(1)
        kept = dtf.kept(dtf.rank(scores), lengths, order, lambda: dtf.permutations_of(images, PATCHES))
        return torch.cat([codes[:, :1], codes[:, 1:].masked_fill(~kept, -1)], dim=1)

    def lengths(self, codes):
        return (codes >= 0).sum(1)

    def decode(self, codes):
        """A tile without a code is black."""
        tiles = codes[:, 1:].clamp(min=0).float().unflatten(1, (1, GRID, GRID)) / 127.5 - 1
        return tiles.repeat_interleave(GRID, 2).repeat_interleave(GRID, 3).expand(-1, 3, -1, -1)

    def freeze_encoder(self):
        raise ValueError("nothing to freeze")

    def losses(self, batch, step, rng):
        yield "all", {}

    def parameter_groups(self):
        return {"all": []}

    def no_weight_decay(self, name, parameter):
        return True


class Whole(Tiles):
    """Scores nothing: all tiles of an image have a code."""

    places = 0
    codebooks = property()

    def encode(self, images, *, rng=None):
        return self.all_codes(images)


def tiled(rng: np.random.Generator, count: int) -> np.ndarray:
    """Images of grey tiles, uint8 (count, SIDE, SIDE, 3)."""
    levels = rng.integers(1, 256, (count, GRID, GRID)).astype(np.uint8)
    return levels.repeat(GRID, 1).repeat(GRID, 2)[..., None].repeat(3, 3)


def features_of(images):
    pixels = torch.from_numpy(np.asarray(images, dtype=np.float64)).flatten(1, 2)
    return torch.cat([pixels.mean(1), pixels.std(1)], dim=1)


@pytest.fixture
def images(monkeypatch) -> np.ndarray:
    found = tiled(np.random.default_rng(0), COUNT)
    data = SimpleNamespace(images=found, labels=np.zeros(COUNT, np.int64))
    for module in (recoding, token_counts, kept_tokens):
        monkeypatch.setattr(module, "open_cache", lambda folder, split: data)
        monkeypatch.setattr(module.weights, "load", lambda file: Tiles())
    plain = lambda images, spec, device: scored(features_of(images), features_of(images), spec["splits"])
    monkeypatch.setattr(recoding, "score", plain)
    return found


@pytest.fixture
def job(images, tmp_path):
    statistics(features_of(images)).save(tmp_path / "val.npz")
    inputs = {"dataset": tmp_path / "tiles-16", "tokenizer": tmp_path, "reference": tmp_path}

    def made(stage: str, spec: dict):
        return work(stage, tmp_path, spec, inputs=inputs)

    return made


def written(job) -> dict:
    found = json.loads((job.out / "metrics.json").read_text())
    assert problem(found["measure"]) == ""
    return found


def without(images: np.ndarray, black: np.ndarray) -> float:
    """PSNR of images of which some tiles, bool (COUNT, PATCHES), are black."""
    lit = ~black.reshape(-1, GRID, GRID).repeat(GRID, 1).repeat(GRID, 2)
    return psnr(images, (images * lit[..., None]).astype(np.uint8)).mean().item()


def test_the_tokenizer_of_these_tests_meets_its_contract():
    contracts.check_tokenizer(Tiles())
    lacking = type("Lacking", (Tiles,), {"keeps": None})()
    with pytest.raises(TypeError, match=r"`keeps` cannot be called as `keeps\(scores, epsilon\)` \(FiltersPatches\)"):
        contracts.check_tokenizer(lacking)


# ---- truncation ---------------------------------------------------------------------------------------------------


def test_patches_are_taken_away_at_start_at_end_and_at_random(job, images):
    asked = job("truncation", TRUNCATION)
    values = truncation.run(asked)
    assert values == written(asked)["values"]
    assert values["rfid"] == pytest.approx(0, abs=1e-4) and values["psnr"] > 40  # nothing is missing
    place = np.arange(PATCHES)
    for name, black in (
        ("psnr_start", place < 7),  # 14 of 30 are 7 of 15
        ("psnr_end", place >= PATCHES - 7),
        ("psnr_start_one", place < 15),
        ("psnr_end_one", place > 0),
    ):
        assert values[name] == pytest.approx(without(images, np.tile(black, (COUNT, 1))), abs=0.02), name
    order = truncation.orders(COUNT, PATCHES, 5)["random"].numpy()
    assert values["psnr_random"] == pytest.approx(without(images, order < 7), abs=0.02)
    assert values["rfid_start_one"] > values["rfid_start"] > 1


def test_the_curve_has_all_its_points_and_what_is_printed(job):
    asked = job("truncation", TRUNCATION)
    values, curves = truncation.run(asked), written(asked)["curves"]
    assert curves["removed"] == [0, 2, 4, 10, 14, 20, 30] and curves["patches"] == [0, 1, 2, 5, 7, 10, 15]
    for where in ("start", "end", "random"):
        found = curves["psnr"][where]
        assert found[0] == values["psnr"] and found[4] == values[f"psnr_{where}"]
        assert found[-1] == values[f"psnr_{where}_one"] and sorted(found, reverse=True) == found


@pytest.mark.parametrize(
    ("points", "wanted"), [(None, [2, 4, 10, 20]), (9, [2, 4, 10, 20]), (2, [4, 20]), (1, [10]), (0, [])]
)
def test_a_scale_takes_as_many_points_as_it_can(points, wanted):
    found = truncation.removed(TRUNCATION | {"curve_points": points}, 31)
    assert list(found) == sorted([0, 14, 30, *wanted]) and list(found.values()) == list(found)


def test_an_image_loses_the_same_random_patches_in_any_company():
    few, many = (truncation.orders(count, PATCHES, 5)["random"] for count in (2, 5))
    assert torch.equal(few, many[:2]) and not torch.equal(many[0], many[1])
    assert torch.equal(many.sort(dim=1).values, torch.arange(PATCHES).expand(5, -1))


# ---- selection ----------------------------------------------------------------------------------------------------


def test_other_patches_are_kept_and_as_many(job, images):
    asked = job("selection", EVALUATION)
    values = selection.run(asked)
    assert values == written(asked)["values"]
    scores = images[:, ::GRID, ::GRID, 0].reshape(COUNT, -1) / 255
    kept = Tiles().keeps(torch.from_numpy(scores).float(), 0.5).numpy()
    place, many = np.arange(PATCHES), kept.sum(1, keepdims=True)
    assert values["psnr_score"] == pytest.approx(without(images, ~kept), abs=0.02)
    assert values["psnr_first"] == pytest.approx(without(images, place >= many), abs=0.02)
    assert values["psnr_last"] == pytest.approx(without(images, place < PATCHES - many), abs=0.02)
    others = [values[f"psnr_{order}"] for order in selection.ORDERS if order != "score"]
    assert values["psnr_score"] > max(others) and len({*others}) == 4  # bright tiles matter most


# ---- kept tokens --------------------------------------------------------------------------------------------------


def test_pictures_and_what_is_kept_of_them(job, images):
    asked = job("kept_tokens", KEPT)
    values = kept_tokens.run(asked)
    found = np.load(asked.out / "kept.npz")
    assert {name: found[name].shape for name in found.files} == {
        **dict.fromkeys(("originals", "reconstructions", "blanks"), (3, SIDE, SIDE, 3)),
        **dict.fromkeys(("scores", "kept", "blank_scores", "blank_kept"), (3, GRID, GRID)),
        **{"errors": (3, SIDE, SIDE), "epsilons": (3,), "swept": (3, 3, GRID, GRID)},
        **{"blank_names": (3,), "blank_epsilon": ()},
    }
    assert (found["originals"] == images[[0, 4, 8]]).all()
    assert found["scores"] == pytest.approx(found["originals"][:, ::GRID, ::GRID, 0] / 255)
    difference = np.abs(found["originals"].astype(float) - found["reconstructions"]).mean(3) / 127.5
    assert found["errors"] == pytest.approx(difference, abs=0.01)
    assert ((found["errors"][:, ::GRID, ::GRID] < 0.01) == found["kept"]).all()  # what is kept is right
    sizes = found["swept"].sum(axis=(1, 2, 3))
    assert sizes[0] > sizes[1] > sizes[2] and (found["swept"][2] <= found["swept"][0]).all()
    sweep = written(asked)["sweep"]
    assert [entry["epsilon"] for entry in sweep] == KEPT["epsilons"]
    assert values["patches_lowest"] == sweep[0]["patches"] > sweep[1]["patches"] > values["patches_highest"]
    assert values["nested"] == 100 and values["chance"] == 50


def test_what_is_kept_of_nothing(job):
    """White tiles are all worth the same and of black ones nothing is known: the first of them are kept."""
    asked = job("kept_tokens", KEPT)
    values = kept_tokens.run(asked)
    assert values["patches_white"] == 12 and values["patches_black"] == 1
    assert values["top_bottom_white"] == pytest.approx(100 * 4 / 12)  # three rows of four, one of them outermost
    assert values["left_right_white"] == 50 and values["left_right_black"] == values["top_bottom_black"] == 100
    assert 11 <= values["patches_noise"] <= 12  # tiles of noise are about as bright as each other
    found = np.load(asked.out / "kept.npz")
    assert list(found["blank_names"]) == ["white", "black", "noise"]
    assert found["blanks"][:2].mean(axis=(1, 2, 3)).tolist() == [255, 0] and found["blanks"][2].std() > 50


@pytest.mark.parametrize("stage", [truncation, selection, kept_tokens])
def test_a_tokenizer_that_scores_nothing_is_named_with_the_remedy(stage, job, monkeypatch):
    for module in (recoding, kept_tokens):
        monkeypatch.setattr(module.weights, "load", lambda file: Whole())
    with pytest.raises(ValueError, match=r"Whole scores no patches of a grid .* take its row out of the table"):
        stage.run(job("it", TRUNCATION | KEPT))


# ---- token counts -------------------------------------------------------------------------------------------------


def test_an_image_costs_codes_places_and_their_number(job, images):
    asked = job("token_counts", {"batch": 4, "patch_size": 4})
    values = token_counts.run(asked)
    lengths = np.load(asked.out / "lengths.npy")
    assert values["code_bits"] == pytest.approx(8 * lengths.mean())
    assert values["length_bits"] == pytest.approx(math.log2(17)) and values["most_bits"] == 17 * 8
    assert values["place_bits"] == pytest.approx(np.mean([math.log2(math.comb(16, n - 1)) for n in lengths]))
    assert values["bits"] == values["code_bits"] + values["length_bits"] + values["place_bits"]
    same = token_counts.bits_of(Tiles(), np.full(5, 9))
    assert same["bits"] == pytest.approx(rate(Tokens(17, 1, "sequence", 256, ragged=True, mean=9, places=16)))


def test_codebooks_edges_and_scores_of_what_is_kept(job, images):
    values = token_counts.run(job("token_counts", {"batch": 4, "patch_size": 4}))
    scores = images[:, ::GRID, ::GRID, 0].reshape(COUNT, -1)
    kept = Tiles().keeps(torch.from_numpy(scores / 255).float(), 0.5).numpy()
    assert values["patch_usage"] == pytest.approx(100 * len(np.unique(scores[kept])) / 256)
    assert values["global_usage"] <= 100 * COUNT / 256 and values["global_perplexity"] <= COUNT
    columns = kept.reshape(-1, GRID, GRID)[:, :, [0, -1]]
    assert values["left_right"] == pytest.approx(100 * columns.sum() / kept.sum())
    assert -1 <= values["score_correlation"] <= 1 and "usage" not in values


def test_the_literal_threshold_is_told_beside_what_codes_can_carry(job, images):
    values = token_counts.run(job("token_counts", {"batch": 4, "patch_size": 4}))
    decoded = Tiles().decode(Tiles().encode(torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1))
    error = ((decoded + 1) / 2 - torch.from_numpy(images).permute(0, 3, 1, 2) / 255).square().mean().item()
    wanted = bits.of_gaussians(SIDE * SIDE * 3, float((images / 255).var()), error)
    assert values["gaussian_bits"] == pytest.approx(wanted, rel=1e-4)


def test_a_tokenizer_with_as_many_codes_of_every_image_costs_codes_alone(job, monkeypatch):
    monkeypatch.setattr(token_counts.weights, "load", lambda file: Whole())
    values = token_counts.run(job("token_counts", {"batch": 4, "patch_size": 4}))
    assert values["bits"] == values["code_bits"] == values["most_bits"] == 17 * 8
    assert {"usage", "perplexity"} < values.keys()
    assert not {"place_bits", "length_bits", "left_right", "patch_usage", "score_correlation"} & values.keys()
