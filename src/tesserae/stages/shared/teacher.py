"""What a frozen network says of training images, for the tokenizers that align with it."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tesserae.stages.shared.feature_shards import Features, open_features


class Teacher(NamedTuple):
    """Features of training images, as they are and mirrored, on a square grid of `side` places a side."""

    features: Features  # (2, 1 + P, F) of each image
    side: int

    def of(self, chosen: np.ndarray, mirrored: np.ndarray) -> dict[str, Tensor]:
        """Of images `chosen` (B,), mirrored where `mirrored` is 1: "teacher_pooled" float32 (B, F), and "teacher_grid"
        (B, side * side, F), resized bilinearly where the network has another number of places.
        """
        both = self.features.at(chosen)  # (B, 2, 1 + P, F)
        found = both[torch.arange(len(both)), torch.from_numpy(mirrored)].float()
        pooled, places = found[:, 0], found[:, 1:]
        own = round(places.shape[1] ** 0.5)
        if own != self.side:
            grid = places.transpose(1, 2).unflatten(2, (own, own))
            places = F.interpolate(grid, (self.side, self.side), mode="bilinear", align_corners=False)
            places = places.flatten(2).transpose(1, 2)
        return {"teacher_pooled": pooled, "teacher_grid": places}


def open_teacher(folders: list[Path], side: int) -> Teacher:
    """The features in the parts of a scattered stage."""
    return Teacher(open_features(folders), side)
