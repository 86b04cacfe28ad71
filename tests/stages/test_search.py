"""Searches and numbers of samples: from parts of one whole only, and with or without points without guidance."""

import numpy as np
import pytest
import torch

from tesserae.metrics.fidelity import statistics
from tesserae.stages import metrics, search, search_samples
from tesserae.stages.shared.common import same_whole
from tesserae.stages.shared.files import read_json, write_json
from tesserae.stages.shared.scoring import scored
from tests.stages.works import work

GUIDED = [{"guidance": g, "temperature": 1.0} for g in (2.0, 4.0)]
UNGUIDED = [{"guidance": 1.0, "temperature": t} for t in (0.9, 1.0)]
DRAWN = {"samples": 12, "sampler": {"module": "s"}, "rounding": "truncate", "labels": "cycled", "seed": 0}
FINAL = DRAWN | {"guidance": 2.0, "temperature": 1.0, "selection": {"statistic": "fid"}}


def parts_of(folder, index, counts, write):
    """Folders of parts with an index and what `write` leaves of so many samples; by role."""
    found = {}
    for number, count in enumerate(counts, start=1):
        found[f"{number}"] = folder / f"{folder.name}-{number}of{len(counts)}"
        found[f"{number}"].mkdir(parents=True)
        write_json(found[f"{number}"] / "index.json", index)
        write(found[f"{number}"], count)
    return found


def searched(folder, points, counts=(6, 6), **other):
    """The job of a search on noise that is the brighter the further guidance is from 2; `other`: of the last part."""
    rng = np.random.default_rng(0)

    def write(place, count):
        bright = [40 * abs(point["guidance"] - 2) + 40 * (point["temperature"] < 1) for point in points]
        noise = rng.integers(0, 80, (len(points), count, 8, 8, 3))
        np.save(place / "samples.npy", (noise + np.array(bright).reshape(-1, 1, 1, 1, 1)).astype(np.uint8))

    parts = parts_of(folder / "drawn", {"points": points, **DRAWN}, counts, write)
    if other:
        write_json([*parts.values()][-1] / "index.json", {"points": points, **DRAWN, **other})
    statistics(features_of(rng.integers(0, 80, (50, 8, 8, 3)))).save(folder / "train.npz")
    spec = {"extractor": "plain", "layer": "1", "splits": 2, "batch": 8}
    inputs = {f"search_samples.{number}": place for number, place in parts.items()} | {"reference": folder}
    return work("search", folder, spec, inputs=inputs)


def features_of(images):
    """Mean and deviation of each channel: features that a test can afford."""
    pixels = torch.from_numpy(np.asarray(images, dtype=np.float64)).flatten(1, 2)
    return torch.cat([pixels.mean(1), pixels.std(1)], dim=1)


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    def score(images, spec, device):
        return scored(features_of(images), features_of(images), spec["splits"])

    monkeypatch.setattr(search, "score", score)


def test_the_best_point_of_each_kind_is_selected(tmp_path):
    job = searched(tmp_path, [*GUIDED, *UNGUIDED])
    numbers = search.run(job)
    found = read_json(job.out / "search.json")
    assert found["selected"] == {"cfg": GUIDED[0], "nocfg": UNGUIDED[1], "best": GUIDED[0]}
    assert found["candidates"] == {"cfg": [2.0, 4.0], "nocfg": [0.9, 1.0], "best": [2.0, 4.0, 1.0, 1.0]}
    assert [point["guidance"] for point in found["points"]] == [2.0, 4.0, 1.0, 1.0]
    assert numbers["cfg_fid"] < numbers["nocfg_fid"] == min(point["fid"] for point in found["points"][2:])


def test_a_search_without_unguided_points_selects_guidance_alone(tmp_path):
    job = searched(tmp_path, GUIDED)
    numbers = search.run(job)
    found = read_json(job.out / "search.json")
    assert found["selected"] == {"cfg": GUIDED[0], "best": GUIDED[0]}
    assert found["candidates"] == {"cfg": [2.0, 4.0], "nocfg": [], "best": [2.0, 4.0]}
    assert not [name for name in numbers if name.startswith("nocfg")] and len(found["points"]) == 2


@pytest.mark.parametrize(("unguided", "points"), [(True, [*GUIDED, *UNGUIDED]), (False, GUIDED)])
def test_points_without_guidance_are_drawn_only_where_they_are_shown(tmp_path, monkeypatch, unguided, points):
    drawn = []
    monkeypatch.setattr(search_samples, "draw_all", lambda work, points, **_: drawn.append(points))
    spec = {"search_samples": 12, "search": {"guidance": [2.0, 4.0], "temperature": [0.9, 1.0]}, **DRAWN}
    job = work("search_samples", tmp_path, spec | {"unguided": unguided})
    assert search_samples.run(job) == {"points": len(points), "samples": 12}
    assert drawn == [points] and read_json(job.out / "index.json")["points"] == points


def test_guided_images_may_have_a_temperature_of_their_own(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(search_samples, "draw_all", lambda work, points, **_: drawn.extend(points))
    swept = {"guidance": [2.0, 4.0], "temperature": [0.9, 1.0], "guided_temperature": 0.8}
    search_samples.run(
        work("search_samples", tmp_path, {"search_samples": 12, "search": swept, "unguided": True} | DRAWN)
    )
    assert drawn == [{"guidance": g, "temperature": 0.8} for g in (2.0, 4.0)] + UNGUIDED


# ---- parts ------------------------------------------------------------------------------------------------------


def nothing(place, count):
    pass


def test_parts_of_one_whole_are_taken(tmp_path):
    folders = [*parts_of(tmp_path / "p", FINAL, (4, 4, 4), nothing).values()]
    assert same_whole(folders, [4, 4, 4]) == FINAL


@pytest.mark.parametrize(
    ("counts", "other", "problem"),
    [
        ((6, 5), {}, "11 samples, drawn alike: True; 12 drawn alike are needed"),
        ((6, 7), {}, "13 samples, drawn alike: True"),
        ((6,), {}, "6 samples, drawn alike: True"),
        ((6, 6), {"seed": 1}, "12 samples, drawn alike: False"),
        ((6, 6), {"rounding": "round"}, "drawn alike: False"),
        ((6, 6), {"sampler": {"module": "s", "steps": 2}}, "drawn alike: False"),
        ((6, 6), {"samples": 13}, "drawn alike: False"),
    ],
)
def test_parts_that_are_no_whole_are_refused_by_search_and_metrics(tmp_path, counts, other, problem):
    job = searched(tmp_path, GUIDED, counts, **other)
    with pytest.raises(ValueError, match=problem):
        search.run(job)
    assert not list(job.out.iterdir())

    def features(place, count):
        np.save(place / "features.npy", np.zeros((count, 4), np.float32))

    parts = parts_of(tmp_path / "final", FINAL, counts, features)
    write_json([*parts.values()][-1] / "index.json", FINAL | other)
    inputs = {f"{role}.{number}": place for role in ("features", "samples") for number, place in parts.items()}
    with pytest.raises(ValueError, match=problem) as caught:
        metrics.run(work("metrics", tmp_path, {"splits": 2}, inputs=inputs | {"reference": tmp_path}))
    assert "final-1of" in str(caught.value) and "make them again" in str(caught.value)
