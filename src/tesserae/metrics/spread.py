"""Where the scatter of a generator's numbers comes from: variance components of a nested design, by mean squares.

T trainings that differ in their seed, for each S samplings that differ in theirs, each of H parts of its samples, and
for each training the guidance that its own search selected beside one guidance for all. Estimates are those of the
balanced nested analysis of variance (Searle, Casella and McCulloch, Variance Components, Sec. 3.6), which may be
negative where a component is small: then it is 0.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Components:
    """Variances of one number: of one training, one search, one sampling, and all samples of it; None: not known."""

    training: float | None
    search: float | None
    sampling: float  # beyond what the number of samples explains: labels that are drawn, chance that samples share
    samples: float

    @property
    def total(self) -> float:
        """Of what is known."""
        return sum(value for value in (self.training, self.search, self.sampling, self.samples) if value is not None)

    def shares(self) -> dict[str, float | None]:
        """Each as a part of the whole, 0 where nothing varies."""
        return {
            name: None if value is None else value / self.total if self.total else 0.0
            for name, value in vars(self).items()
        }


def components(parts: np.ndarray, own: np.ndarray, common: np.ndarray) -> Components:
    """Variance components of one measure, none below 0; arguments and errors as `estimates`."""
    found = vars(estimates(parts, own, common))
    return Components(**{name: None if value is None else max(0.0, value) for name, value in found.items()})


def estimates(parts: np.ndarray, own: np.ndarray, common: np.ndarray) -> Components:
    """Unbiased estimates of the variance components of one measure.

    parts: (T, S, H) of parts at one guidance for all; own, common: (T, S) of all samples, at the guidance that each
    training's search selected and at that of all. Halves have half as many samples, so that what they scatter counts
    as 1 / H in a number of all. T = 1 says nothing of training and search. ValueError for fewer than two samplings or
    parts.
    """
    trainings, samplings, count = parts.shape
    if samplings < 2 or count < 2:
        raise ValueError(f"{samplings} samplings of {count} parts have no spread: two of each are needed")
    by_sampling, by_training = parts.mean(2), parts.mean((1, 2))
    within = _mean_square(parts - by_sampling[..., None], trainings * samplings * (count - 1))
    between = count * _mean_square(by_sampling - by_training[:, None], trainings * (samplings - 1))
    sampling, samples = (between - within) / count, within / count
    if trainings < 2:
        return Components(None, None, sampling, samples)
    of_trainings = samplings * count * _mean_square(by_training - by_training.mean(), trainings - 1)
    training = (of_trainings - between) / (samplings * count)
    return Components(training, _of_search(own - common), sampling, samples)


def _of_search(moved: np.ndarray) -> float:
    """Variance over trainings of what the own search moves, (T, S), without what sampling adds to it."""
    trainings, samplings = moved.shape
    each = moved.mean(1)
    noise = _mean_square(moved - each[:, None], trainings * (samplings - 1)) / samplings
    return _mean_square(each - each.mean(), trainings - 1) - noise


def _mean_square(deviations: np.ndarray, freedom: int) -> float:
    return float((deviations**2).sum() / freedom)
