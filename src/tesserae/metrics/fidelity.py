"""Features -> FID, inception score, KID, precision and recall. All numbers are torch-fidelity's: none is computed here.

Only how far FID may stray by chance is (`fid_deviation`), for torch-fidelity has nothing that says so.

Where the two sets of a measure differ in role, the generated one comes first. Some versions of torch-fidelity take the
first set for the real one, which swaps precision and recall; 0.4 takes it for the generated one, and a test sees to it.

Shapes: N generated and M real images, D features, C classes. Features are float (N, D), tensors or arrays, on the CPU.
"""

import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, KEY_METRIC_ISC_STD, isc_features_to_metric
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric
from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

Features = Tensor | np.ndarray

SHUFFLE_SEED = 2020  # torch-fidelity's own, so that scores computed with it elsewhere compare
GROUPS = 10  # of a jackknife: its own relative error is then about 1 / sqrt(2 * 9), a quarter


@dataclass(frozen=True)
class Statistics:
    """Mean and covariance of a set's features: all that FID asks of it."""

    mu: np.ndarray  #    float64 (D,)
    sigma: np.ndarray  # float64 (D, D)
    count: int | None  # images behind them; None if a foreign file does not say

    def __post_init__(self) -> None:
        if self.mu.ndim != 1 or self.sigma.shape != (len(self.mu), len(self.mu)):
            raise ValueError(f"statistics need mu (D,) and sigma (D, D), not {self.mu.shape} and {self.sigma.shape}")
        if self.mu.dtype != np.float64 or self.sigma.dtype != np.float64:
            raise TypeError(f"statistics are float64, not {self.mu.dtype} and {self.sigma.dtype}")
        if not (np.isfinite(self.mu).all() and np.isfinite(self.sigma).all()):
            raise ValueError("the statistics contain values that are not finite")

    def save(self, path: Path) -> None:
        """Write an npz of mu, sigma and, if known, count. The same statistics give the same bytes."""
        arrays = {"mu": self.mu, "sigma": self.sigma}
        if self.count is not None:
            arrays["count"] = np.int64(self.count)
        with Path(path).open("wb") as file:  # numpy would add .npz to a bare path
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read an npz with the keys mu and sigma: our own, or one in the format of ADM's reference statistics.

        Raises FileNotFoundError, or ValueError naming the file if it is not npz, lacks a key, or holds pickles.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                missing = [key for key in ("mu", "sigma") if key not in arrays]
                if missing:
                    raise ValueError(f"it has no {' and no '.join(missing)}, only {', '.join(arrays) or 'nothing'}")
                mu, sigma = arrays["mu"].astype(np.float64), arrays["sigma"].astype(np.float64)
                count = int(arrays["count"]) if "count" in arrays else None
            return cls(mu, sigma, count)
        except (ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} does not hold statistics: {error}") from error


class InceptionScore(NamedTuple):
    """Mean and standard deviation over the splits, None for a single one. Higher is better; between 1 and C."""

    mean: float
    std: float | None


class PrecisionRecall(NamedTuple):
    """Both are fractions in [0, 1]; higher is better."""

    precision: float  # of the generated images, those within the real manifold
    recall: float  #    of the real images, those within the generated manifold


class Kid(NamedTuple):
    """Mean and standard deviation over the subsets. Lower is better; may be negative for like sets. Not times 1000."""

    mean: float
    std: float


def statistics(features: Features) -> Statistics:
    """Mean and unbiased covariance of features (N, D), N >= 2.

    Raises ValueError for fewer images, another shape or values that are not finite, TypeError for another dtype.
    """
    checked = _checked(features, "the features", at_least=2, purpose="a covariance")
    found = fid_features_to_statistics(checked)
    # atleast_2d, since numpy returns the covariance of a single feature without axes
    sigma = np.atleast_2d(found["sigma"]).astype(np.float64)
    return Statistics(found["mu"].astype(np.float64), sigma, len(checked))


def fid(a: Statistics, b: Statistics) -> float:
    """Frechet distance of two Gaussians (arXiv 1706.08500, Eq. 6). Lower is better; symmetric; no unit.

    Zero for like statistics up to rounding, which may make it slightly negative. Raises ValueError if the feature
    counts differ.
    """
    if a.mu.shape != b.mu.shape:
        raise ValueError(f"the two sets have {len(a.mu)} and {len(b.mu)} features: they are of different layers")
    first, second = ({"mu": s.mu, "sigma": s.sigma} for s in (a, b))
    return fid_statistics_to_metric(first, second, verbose=False)[KEY_METRIC_FID]


def fid_deviation(features: Features, reference: Statistics, seed: int = SHUFFLE_SEED) -> float:
    """Standard deviation of FID over draws of as many images: how far features (N, D) of others would move it.

    A delete-a-group jackknife: FID again without each of GROUPS random groups in turn, sd^2 = (G - 1) / G times the
    squares of what these deviate from their mean. (FID of halves would be biased upwards, and its deviation is that of
    half as many images.) Symmetric square roots in place of torch-fidelity's eigenvalues: the same numbers, sooner.

    Raises ValueError as `fid` and `statistics`, and for fewer than three images.
    """
    checked = _checked(features, "the features", at_least=3, purpose="a jackknife").double().numpy()
    if checked.shape[1] != len(reference.mu):
        raise ValueError(f"the two sets have {checked.shape[1]} and {len(reference.mu)} features")
    centred = checked - reference.mu  # so that squares of sums are not differences of large numbers
    order = np.random.default_rng(seed).permutation(len(centred))  # images may lie class by class
    groups = [centred[part] for part in np.array_split(order, min(GROUPS, len(order)))]
    total, squares = centred.sum(0), centred.T @ centred
    values, vectors = np.linalg.eigh(reference.sigma)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    found = []
    for group in groups:
        count = len(centred) - len(group)
        mean = (total - group.sum(0)) / count
        sigma = (squares - group.T @ group - count * np.outer(mean, mean)) / (count - 1)
        shared = np.sqrt(np.linalg.eigvalsh(root @ sigma @ root).clip(0)).sum()
        found.append(mean @ mean + np.trace(sigma) + np.trace(reference.sigma) - 2 * shared)
    return float(np.sqrt((len(found) - 1) * np.var(found)))


def inception_score(logits: Features, splits: int, seed: int = SHUFFLE_SEED) -> InceptionScore:
    """exp of the mean KL of class predictions from their marginal (arXiv 1606.03498, Sec. 4), over shuffled splits.

    `logits` (N, C); `seed` orders the shuffle. Raises ValueError if there are fewer images than splits, or if the
    logits are so far apart that a class has no probability at all in double precision.
    """
    if splits < 1:
        raise ValueError(f"the number of splits must be positive, not {splits}")
    checked = _checked(logits, "the logits", at_least=splits, purpose=f"{splits} splits")
    found = isc_features_to_metric(checked, splits=splits, shuffle=True, rng_seed=seed)
    score = InceptionScore(found[KEY_METRIC_ISC_MEAN], found[KEY_METRIC_ISC_STD] if splits > 1 else None)
    if not math.isfinite(score.mean):
        raise ValueError(f"the inception score is {score.mean}: the logits span {checked.max() - checked.min():.0f}")
    return score


def precision_recall(generated: Features, real: Features, neighbourhood: int = 3) -> PrecisionRecall:
    """Improved precision and recall (arXiv 1904.06991, Eq. 1-3) of generated (N, D) against real (M, D) features.

    A set's manifold is the union of balls around its images that reach to their `neighbourhood`-th neighbour (k = 3 in
    the paper). Raises ValueError if a set has no more images than `neighbourhood`, or the feature counts differ.
    """
    if neighbourhood < 1:
        raise ValueError(f"the neighbourhood must be positive, not {neighbourhood}")
    least = {"at_least": neighbourhood + 1, "purpose": f"a neighbourhood of {neighbourhood}"}
    first, second = _checked(generated, "the generated features", **least), _checked(real, "the real features", **least)
    _check_like(first, second)
    # save_cpu_ram: 50,000 x 50,000 distances would take 10 GB at once, in slices of 10,000 images they take 2 GB
    found = prc_features_to_metric(first, second, prc_neighborhood=neighbourhood, save_cpu_ram=True, verbose=False)
    return PrecisionRecall(found[KEY_METRIC_PRECISION], found[KEY_METRIC_RECALL])


def kid(generated: Features, real: Features, subsets: int, subset_size: int, seed: int = SHUFFLE_SEED) -> Kid:
    """Kernel distance (arXiv 1801.01401, Sec. 4): unbiased squared MMD with the cubic polynomial kernel.

    Mean over `subsets` random subsets of `subset_size` images of each set; symmetric in distribution. Raises ValueError
    if a set has fewer images than a subset, or the feature counts differ.
    """
    if subsets < 1 or subset_size < 2:
        raise ValueError(f"KID needs at least 1 subset of 2 images, not {subsets} of {subset_size}")
    least = {"at_least": subset_size, "purpose": f"subsets of {subset_size}"}
    first, second = _checked(generated, "the generated features", **least), _checked(real, "the real features", **least)
    _check_like(first, second)
    found = kid_features_to_metric(
        first, second, kid_subsets=subsets, kid_subset_size=subset_size, rng_seed=seed, verbose=False
    )
    return Kid(found[KEY_METRIC_KID_MEAN], found[KEY_METRIC_KID_STD])


def _checked(features: Features, name: str, *, at_least: int, purpose: str) -> Tensor:
    """The features as a CPU tensor of the dtype they came in, or an error that says what is wrong with them."""
    tensor = torch.from_numpy(features) if isinstance(features, np.ndarray) else features
    if not isinstance(tensor, Tensor) or tensor.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"{name} must be float32 or float64, not {getattr(tensor, 'dtype', type(tensor).__name__)}")
    if tensor.ndim != 2:
        raise ValueError(f"{name} must be (images, features), not {tuple(tensor.shape)}")
    if len(tensor) < at_least:
        raise ValueError(f"{name} are of {len(tensor)} images: {purpose} needs at least {at_least}")
    if not tensor.isfinite().all():
        raise ValueError(f"{name} contain values that are not finite")
    return tensor.detach().cpu()


def _check_like(first: Tensor, second: Tensor) -> None:
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"the two sets have {first.shape[1]} and {second.shape[1]} features: they are of different layers"
        )
    if first.dtype != second.dtype:
        raise TypeError(f"the two sets have different dtypes: {first.dtype} and {second.dtype}")
