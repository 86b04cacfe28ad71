"""Metrics on features: cases with a known answer, independent formulas, and refusals."""

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tesserae.metrics import fidelity
from tesserae.metrics.fidelity import (
    Statistics,
    fid,
    fid_deviation,
    inception_score,
    kid,
    precision_recall,
    statistics,
)


def gaussian(count: int, features: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((count, features)).astype(np.float32))


# --- FID


def test_fid_of_a_set_with_itself_is_zero():
    found = statistics(gaussian(200, 8))
    assert fid(found, found) == pytest.approx(0, abs=1e-8)


def test_fid_of_a_shifted_set_is_the_squared_shift():
    shift = torch.arange(8) / 8
    features = gaussian(200, 8).double()
    expected = shift.square().sum().item()
    assert fid(statistics(features), statistics(features + shift)) == pytest.approx(expected, abs=1e-8)


def test_fid_of_a_scaled_set():
    features = gaussian(200, 8).double()
    trace = np.trace(statistics(features).sigma)  # |sqrt(S) - 3 sqrt(S)|^2 = 4 tr S, and the means are 2 mu apart
    expected = 4 * trace + 4 * features.mean(dim=0).square().sum().item()
    assert fid(statistics(features), statistics(3 * features)) == pytest.approx(expected, rel=1e-9)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_fid_agrees_with_the_matrix_square_root_and_is_symmetric(seed):
    rng = np.random.default_rng(seed)
    first, second = (
        statistics(rng.standard_normal((50, 6)) @ rng.standard_normal((6, 6)) + rng.standard_normal(6)) for _ in "ab"
    )
    root = scipy.linalg.sqrtm(first.sigma @ second.sigma).real  # TTUR's formula
    expected = ((first.mu - second.mu) ** 2).sum() + np.trace(first.sigma + second.sigma - 2 * root)
    assert fid(first, second) == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert fid(second, first) == pytest.approx(fid(first, second), rel=1e-6, abs=1e-6)


def test_fid_survives_fewer_images_than_features():
    first, second = statistics(gaussian(20, 64)), statistics(gaussian(20, 64, seed=1))
    assert fid(first, first) == pytest.approx(0, abs=1e-2)  # rounding of the square roots of zero eigenvalues
    assert fid(first, second) > 10


def test_statistics_are_mean_and_unbiased_covariance():
    features = gaussian(50, 3)
    found = statistics(features)
    np.testing.assert_allclose(found.mu, features.double().mean(dim=0), atol=1e-6)
    np.testing.assert_allclose(found.sigma, torch.cov(features.double().T), atol=1e-6)
    assert (found.count, found.mu.dtype, found.sigma.dtype) == (50, np.float64, np.float64)
    assert statistics(features.numpy()).sigma.tobytes() == found.sigma.tobytes()
    assert statistics(features[:, :1]).sigma.shape == (1, 1)


# --- inception score


@pytest.mark.parametrize("splits", [1, 3])
def test_inception_score_of_equal_predictions_is_one(splits):
    confident = torch.zeros(30, 5).index_fill_(1, torch.tensor([2]), 100)
    for logits in (torch.zeros(30, 5), confident):
        found = inception_score(logits, splits=splits, seed=0)
        assert found.mean == pytest.approx(1, abs=1e-12)
        assert found.std is None if splits == 1 else found.std == pytest.approx(0, abs=1e-12)


def test_inception_score_of_certain_and_even_predictions_is_the_number_of_classes():
    assert inception_score(100 * torch.eye(7).repeat(4, 1), splits=1, seed=0).mean == pytest.approx(7, rel=1e-12)


def test_inception_score_against_its_formula():
    logits = gaussian(40, 6).double()
    p = logits.softmax(dim=1)
    expected = (p * (p / p.mean(dim=0)).log()).sum(dim=1).mean().exp().item()
    assert inception_score(logits, splits=1, seed=3).mean == pytest.approx(expected, rel=1e-12)


def test_the_seed_orders_the_splits_of_the_inception_score():
    logits = gaussian(40, 6)
    scores = {seed: inception_score(logits, splits=4, seed=seed).mean for seed in (0, 1)}
    assert scores[0] != scores[1]
    assert scores[0] == inception_score(logits, splits=4, seed=0).mean


# --- precision and recall


def two_clouds() -> tuple[torch.Tensor, torch.Tensor]:
    """A diverse real set, and generated images that all crowd around one real image."""
    real = gaussian(200, 4)
    return real[:1] + 1e-2 * gaussian(100, 4, seed=1), real


def test_a_collapsed_generator_has_precision_but_no_recall():
    collapsed, real = two_clouds()
    precision, recall = precision_recall(collapsed, real)
    assert precision == 1
    assert recall <= 0.01


def test_swapping_the_sets_swaps_precision_and_recall():
    collapsed, real = two_clouds()
    there, back = precision_recall(collapsed, real), precision_recall(real, collapsed)
    assert (there.precision, there.recall) == (back.recall, back.precision)
    assert there.precision != there.recall


def test_a_diverse_but_wrong_generator_has_recall_but_little_precision():
    real = gaussian(100, 4)
    wrong = torch.cat([real + 1e-3, real + 100])
    assert precision_recall(wrong, real) == (0.5, 1)


def test_precision_and_recall_of_equal_and_of_distant_sets():
    features = gaussian(50, 4)
    assert precision_recall(features, features) == (1, 1)
    assert precision_recall(features, features + 1000) == (0, 0)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), neighbourhood=st.integers(1, 5))
def test_precision_and_recall_against_their_definition(seed, neighbourhood):
    rng = np.random.default_rng(seed)
    generated, real = rng.standard_normal((20, 3)), 1.5 * rng.standard_normal((30, 3))

    def covered(points: np.ndarray, manifold: np.ndarray) -> float:
        def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            return np.linalg.norm(a[:, None] - b[None], axis=-1)

        radii = np.sort(distances(manifold, manifold), axis=1)[:, neighbourhood]  # column 0 is the point itself
        return (distances(points, manifold) <= radii).any(axis=1).mean()

    expected = covered(generated, real), covered(real, generated)
    assert precision_recall(generated, real, neighbourhood=neighbourhood) == pytest.approx(expected)


# --- KID


def test_kid_against_the_unbiased_estimate_over_whole_sets():
    x, y = gaussian(30, 5).double(), 1.3 * gaussian(30, 5, seed=1).double()

    def kernel(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a @ b.T / 5 + 1) ** 3

    within = sum((kernel(z, z).sum() - kernel(z, z).diagonal().sum()) / (30 * 29) for z in (x, y))
    expected = (within - 2 * kernel(x, y).mean()).item()
    mean, deviation = kid(x, y, subsets=3, subset_size=30, seed=0)
    assert mean == pytest.approx(expected, rel=1e-9)
    assert deviation == pytest.approx(0, abs=1e-9)


def test_kid_grows_with_the_shift():
    real = gaussian(200, 5)
    other = gaussian(200, 5, seed=1)
    shifted = [kid(other + shift, real, subsets=10, subset_size=100, seed=0).mean for shift in (0, 1, 2)]
    assert abs(shifted[0]) < 0.2 < shifted[1] < shifted[2]


# --- statistics on disk


def test_statistics_come_back_from_disk_and_give_the_same_bytes(tmp_path):
    found = statistics(gaussian(50, 3))
    for name in ("first.npz", "second"):
        found.save(tmp_path / name)
    assert (tmp_path / "first.npz").read_bytes() == (tmp_path / "second").read_bytes()
    back = Statistics.load(tmp_path / "second")
    assert (back.mu.tobytes(), back.sigma.tobytes(), back.count) == (found.mu.tobytes(), found.sigma.tobytes(), 50)


def test_reference_files_of_adm_are_read(tmp_path):
    found = statistics(gaussian(50, 3))
    path = tmp_path / "adm.npz"
    np.savez(path, mu=found.mu.astype(np.float32), sigma=found.sigma, mu_s=np.zeros(7))
    back = Statistics.load(path)
    assert back.count is None
    assert fid(back, found) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"mu": np.zeros(3)}, "no sigma, only mu"),
        ({"arr_0": np.zeros(3)}, "no mu and no sigma, only arr_0"),
        ({"mu": np.zeros(3), "sigma": np.eye(2)}, r"mu \(D,\) and sigma \(D, D\)"),
        ({"mu": np.full(3, np.nan), "sigma": np.eye(3)}, "not finite"),
        ({"mu": np.array([None, 1]), "sigma": np.eye(2)}, "allow_pickle=False"),
    ],
)
def test_files_without_statistics_are_refused_by_name(tmp_path, arrays, message):
    np.savez(tmp_path / "odd.npz", **arrays)
    with pytest.raises(ValueError, match=rf"odd\.npz does not hold statistics: .*{message}"):
        Statistics.load(tmp_path / "odd.npz")


def test_files_of_other_kinds_are_refused_by_name(tmp_path):
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "text.npz").write_text("not an archive")
    (tmp_path / "empty.npz").touch()
    for name in ("array.npy", "text.npz", "empty.npz"):
        with pytest.raises(ValueError, match=f"{name} does not hold statistics"):
            Statistics.load(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Statistics.load(tmp_path / "nowhere.npz")


# --- refusals

FIVE = gaussian(5, 3)


@pytest.mark.parametrize(
    ("measure", "error", "message"),
    [
        (lambda: statistics(FIVE[:1]), ValueError, "1 images: a covariance needs at least 2"),
        (lambda: statistics(FIVE[0]), ValueError, r"\(images, features\), not \(3,\)"),
        (lambda: statistics(FIVE.long()), TypeError, "float32 or float64, not torch.int64"),
        (lambda: statistics(FIVE.bfloat16()), TypeError, "not torch.bfloat16"),
        (lambda: statistics([[1.0]]), TypeError, "not list"),
        (lambda: statistics(FIVE / 0), ValueError, "not finite"),
        (lambda: fid(statistics(FIVE), statistics(FIVE[:, :2])), ValueError, "3 and 2 features"),
        (lambda: Statistics(np.zeros(2, np.float32), np.eye(2), 3), TypeError, "float64, not float32"),
        (lambda: inception_score(FIVE, splits=6, seed=0), ValueError, "5 images: 6 splits needs at least 6"),
        (lambda: inception_score(FIVE, splits=0, seed=0), ValueError, "positive, not 0"),
        (lambda: inception_score(2000 * torch.eye(5), splits=5, seed=0), ValueError, "nan: the logits span 2000"),
        (lambda: precision_recall(FIVE, FIVE[:3]), ValueError, "real features are of 3 images.*at least 4"),
        (lambda: precision_recall(FIVE[:3], FIVE), ValueError, "generated features are of 3 images.*at least 4"),
        (lambda: precision_recall(FIVE, FIVE, neighbourhood=0), ValueError, "positive, not 0"),
        (lambda: precision_recall(FIVE, FIVE[:, :2]), ValueError, "3 and 2 features"),
        (lambda: precision_recall(FIVE, FIVE.double()), TypeError, "different dtypes"),
        (lambda: kid(FIVE, FIVE[:4], subsets=2, subset_size=5, seed=0), ValueError, "real features are of 4 images"),
        (lambda: kid(FIVE, FIVE, subsets=2, subset_size=1, seed=0), ValueError, "not 2 of 1"),
    ],
)
def test_impossible_requests_are_refused(measure, error, message):
    with pytest.raises(error, match=message):
        measure()


# ---- how far FID may stray --------------------------------------------------------------------------------------


def test_the_jackknife_leaves_out_groups_of_the_very_fid(monkeypatch):
    """Its replicates are torch-fidelity's FID of what is left."""
    rng = np.random.default_rng(0)
    features, real = rng.normal(size=(30, 4)), statistics(rng.normal(1.0, 2.0, size=(200, 4)))
    order = np.random.default_rng(fidelity.SHUFFLE_SEED).permutation(30)
    kept = [np.delete(features, part, axis=0) for part in np.array_split(order, fidelity.GROUPS)]
    found = [fid(statistics(rest), real) for rest in kept]
    expected = ((len(found) - 1) * np.var(found)) ** 0.5
    assert fid_deviation(features, real) == pytest.approx(expected, rel=1e-5)


def test_it_is_about_what_other_draws_scatter_by():
    rng = np.random.default_rng(1)
    real = statistics(rng.normal(size=(5000, 6)))
    draws = [rng.normal(0.7, 1.5, size=(300, 6)) for _ in range(40)]
    scatter = np.std([fid(statistics(draw), real) for draw in draws], ddof=1)
    told = np.mean([fid_deviation(draw, real) for draw in draws])
    assert told == pytest.approx(scatter, rel=0.35)  # 40 draws know their scatter to 11 %, a jackknife of 10 to 24 %
    fewer = np.mean([fid_deviation(draw[:75], real) for draw in draws])
    assert 1.5 < fewer / told < 2.7  # a quarter of the images scatter twice as far


def test_it_does_not_depend_on_the_order_of_classes_nor_on_a_shift():
    rng = np.random.default_rng(2)
    classes = np.repeat(rng.normal(scale=5, size=(10, 3)), 30, axis=0) + rng.normal(size=(300, 3))
    real = statistics(rng.normal(size=(500, 3)))
    mixed = rng.permutation(classes)
    assert fid_deviation(classes, real) == pytest.approx(fid_deviation(mixed, real), rel=0.6)
    moved = fidelity.Statistics(real.mu + 1e4, real.sigma, real.count)
    assert fid_deviation(classes + 1e4, moved) == pytest.approx(fid_deviation(classes, real), rel=1e-6)


@pytest.mark.parametrize(
    ("features", "told"), [(np.zeros((2, 3)), "at least 3"), (np.zeros((9, 4)), "4 and 3 features")]
)
def test_a_jackknife_of_what_has_none_is_refused(features, told):
    with pytest.raises(ValueError, match=told):
        fid_deviation(features, statistics(np.random.default_rng(0).normal(size=(9, 3))))
