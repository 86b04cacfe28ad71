"""Images in, features and the scores that need no reference out: what the measuring stages share."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from tesserae.metrics.features import default_layer, extract
from tesserae.metrics.fidelity import InceptionScore, Statistics, inception_score, statistics


class Scored(NamedTuple):
    """What a set of images says by itself."""

    features: Tensor  # (N, D) of the layer behind FID, precision and recall
    statistics: Statistics
    inception: InceptionScore

    def deviation(self, name: str) -> dict[str, float]:
        """Of the inception score, under its `name`; nothing over one split: a 0 would look certain."""
        return {} if self.inception.std is None else {name: self.inception.std}


def scored(features: Tensor, logits: Tensor, splits: int) -> Scored:
    """Scores of features (N, D) and logits (N, C)."""
    return Scored(features, statistics(features), inception_score(logits, splits=splits))


def score(images: np.ndarray, spec: dict[str, Any], device: torch.device) -> Scored:
    """Images uint8 (N, H, W, 3) through a spec's extractor; `spec` has extractor, layer, splits and batch."""
    classes = default_layer(spec["extractor"], "isc")
    features = extract(images, spec["extractor"], [spec["layer"], classes], batch_size=spec["batch"], device=device)
    return scored(features[spec["layer"]], features[classes], spec["splits"])
