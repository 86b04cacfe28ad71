"""Images in, scores out: what the measuring stages share, so that numbers of one name are numbers of one kind."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from tesserae.metrics.features import default_layer, extract
from tesserae.metrics.fidelity import (
    InceptionScore,
    Statistics,
    fid,
    fid_deviation,
    inception_score,
    precision_recall,
    statistics,
)


class Scored(NamedTuple):
    """What a set of images says by itself."""

    features: Tensor  # (N, D) of the layer behind FID, precision and recall
    statistics: Statistics
    inception: InceptionScore


class Numbers(NamedTuple):
    """Values by name, and how far some of them may stray: over splits (inception score), over samples (FID)."""

    values: dict[str, float]
    deviation: dict[str, float]


def scored(features: Tensor, logits: Tensor, splits: int) -> Scored:
    """Scores of features (N, D) and logits (N, C)."""
    return Scored(features, statistics(features), inception_score(logits, splits=splits))


def score(images: np.ndarray, spec: dict[str, Any], device: torch.device) -> Scored:
    """Images uint8 (N, H, W, 3) through a spec's extractor; `spec` has extractor, layer, splits and batch.

    And `measured_at`, a side, where images are measured at another one than that at which they were made.
    """
    classes = default_layer(spec["extractor"], "isc")
    layers, side = [spec["layer"], classes], spec.get("measured_at")
    features = extract(images, spec["extractor"], layers, batch_size=spec["batch"], device=device, side=side)
    return scored(features[spec["layer"]], features[classes], spec["splits"])


def of_samples(found: Scored, reference: Path, neighbourhood: int) -> Numbers:
    """FID, inception score, precision and recall of images as samples; `reference` is an artifact of its stage."""
    real = np.load(reference / "val_features.npy")
    precision, recall = precision_recall(found.features, real, neighbourhood=neighbourhood)
    values, deviation = _distance("fid", "is", found, reference / "train.npz")
    return Numbers({**values, "precision": precision, "recall": recall}, deviation)


def as_samples(spec: dict[str, Any], reference: Path) -> dict[str, Any]:
    """What measures of samples, and of what stands beside them as a control, have in common: see `of_samples`."""
    return {
        "extractor": spec["extractor"],
        "layer": spec["layer"],
        "reference": f"{reference.name} train",
        "precision_recall_reference": f"{reference.name} val",
        "neighbourhood": spec["neighbourhood"],
        "splits": spec["splits"],
    }


def of_reconstructions(found: Scored, reference: Path, psnr: Tensor | None) -> Numbers:
    """rFID, rIS and PSNR of reconstructed validation images; psnr: of each image, (N,), in dB.

    None for the originals themselves, of which it is infinite: then there is no such number.
    """
    values, deviation = _distance("rfid", "ris", found, reference / "val.npz")
    return Numbers(values | ({} if psnr is None else {"psnr": psnr.mean().item()}), deviation)


def as_reconstructions(spec: dict[str, Any], dataset: Path, images: int) -> dict[str, Any]:
    """What measures of reconstructions, and of their controls, have in common: see `of_reconstructions`."""
    return {
        "extractor": spec["extractor"],
        "layer": spec["layer"],
        "reference": f"{dataset.name} val" + (f" at {spec['measured_at']} pixels" if "measured_at" in spec else ""),
        "samples": images,
        "rounding": spec["rounding"],
        "splits": spec["splits"],
    }


def save_shown(path: Path, originals: np.ndarray, reconstructions: np.ndarray, shown: int) -> None:
    """Writes the npz `path` with `shown` images, evenly spaced, of both uint8 (N, S, S, 3)."""
    chosen = np.linspace(0, len(originals) - 1, shown).astype(int)
    np.savez(path, originals=originals[chosen], reconstructions=reconstructions[chosen])


def _distance(distance: str, score: str, found: Scored, real: Path) -> Numbers:
    """FID from statistics of real images, and the inception score, by these names."""
    against = Statistics.load(real)
    values = {distance: fid(found.statistics, against), score: found.inception.mean}
    deviation = {distance: fid_deviation(found.features, against)}
    if found.inception.std is not None:  # over one split a 0 would look certain
        deviation[score] = found.inception.std
    return Numbers(values, deviation)
