"""Scattered stages: shards are the whole, whatever their number, and numbers do not depend on it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tesserae.stages.shared.common import shard_of
from tesserae.stages.shared.token_shards import open_tokens, read_sums
from tests.workflow.conftest import Copy


@given(st.integers(0, 2000), st.integers(1, 40))
def test_shards_are_the_whole_in_order(count, shards):
    found = [shard_of(count, {"shard": shard, "shards": shards}) for shard in range(1, shards + 1)]
    assert [index for shard in found for index in shard] == list(range(count))
    assert max(map(len, found)) - min(map(len, found)) <= 1


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.data())
def test_tokens_in_shards_are_read_as_one(tmp_path_factory, sizes, data):
    rng = np.random.default_rng(len(sizes))
    whole = rng.standard_normal((sum(sizes), 2, 3, 4)).astype(np.float32)
    folders, at = [], 0
    for size in sizes:
        folders.append(tmp_path_factory.mktemp("shard"))
        np.save(folders[-1] / "moments.npy", whole[at : at + size])
        np.save(folders[-1] / "labels.npy", np.arange(at, at + size))
        at += size
    tokens = open_tokens(folders)
    chosen = np.array(data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=8)))
    mirrored = np.array(data.draw(st.lists(st.integers(0, 1), min_size=len(chosen), max_size=len(chosen))))
    assert np.array_equal(tokens.at(chosen, mirrored).numpy(), whole[chosen, mirrored])
    assert np.array_equal(tokens.labels, np.arange(len(whole)))


def test_moments_without_their_labels_are_an_error(tmp_path):
    np.save(tmp_path / "moments.npy", np.zeros((3, 2, 1, 2), np.float32))
    np.save(tmp_path / "labels.npy", np.arange(2))
    with pytest.raises(ValueError, match=r"moments\.npy has 3 images, labels\.npy 2"):
        open_tokens([tmp_path])


@pytest.fixture
def scattered(copy: Copy, smoke: Path) -> Copy:
    """A project in which what scattered stages read is made, as the smoke run made it."""
    for name in ("workflow", "profiles", "Snakefile"):
        shutil.copytree(smoke / name, copy.root / name) if (smoke / name).is_dir() else shutil.copy(
            smoke / name, copy.root / name
        )
    shutil.copytree(smoke / "results", copy.root / "results", ignore=shutil.ignore_patterns("samples", "features"))
    return copy


def scatter(copy: Copy, shards: str, *targets: str) -> None:
    copy.edit("config/scales/smoke.yaml", "\nresources:", f"\nshards: {shards}\nresources:")
    files = [f"results/smoke/{target}" for target in targets]
    done = copy.python("-m", "snakemake", *files, "--quiet", "all", "--config", "scale=smoke")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_samples_and_their_numbers_do_not_depend_on_the_shards(scattered, smoke):
    name = "mar_b_joint-cfg"
    scatter(scattered, "{samples: 3}", f"metrics/{name}/metrics.json")
    made, whole = scattered.root / "results/smoke", smoke / "results/smoke"
    shards = [made / f"samples/{name}-{k}of3/samples.npy" for k in (1, 2, 3)]
    images = np.concatenate([np.load(shard) for shard in shards], axis=1)
    expected = np.load(whole / f"samples/{name}/samples.npy")
    # 13 or 14 samples in a batch, not 20: matrix products may round otherwise, and truncation shows it
    assert images.shape == expected.shape
    difference = np.abs(images.astype(int) - expected)
    assert difference.max() <= 1 and (difference > 0).mean() < 1e-3
    ours, theirs = (json.loads((top / f"metrics/{name}/metrics.json").read_text()) for top in (made, whole))
    assert ours["measure"] == theirs["measure"] and ours["measure_id"] == theirs["measure_id"]
    for key, value in theirs["values"].items():
        assert ours["values"][key] == pytest.approx(value, rel=1e-3)
    assert np.load(made / f"metrics/{name}/preview.npy").shape == np.load(whole / f"metrics/{name}/preview.npy").shape


def test_token_caches_do_not_depend_on_the_shards(scattered, smoke):
    name = "detok_sb_joint"
    scatter(scattered, "{tokens: 3}", *(f"tokens/{name}-{k}of3/manifest.json" for k in (1, 2, 3)))
    folders = [scattered.root / f"results/smoke/tokens/{name}-{k}of3" for k in (1, 2, 3)]
    whole = smoke / "results/smoke/tokens" / name
    ours = np.concatenate([np.load(folder / "moments.npy") for folder in folders])
    np.testing.assert_allclose(ours, np.load(whole / "moments.npy"), atol=1e-5)
    assert np.array_equal(open_tokens(folders).labels, np.load(whole / "labels.npy"))
    for found, expected in zip(read_sums(folders), read_sums([whole]), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)
