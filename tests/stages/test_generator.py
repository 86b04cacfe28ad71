"""Stage `generator`: what a network of many lengths is told before it is trained."""

import numpy as np
import pytest
import torch

from tesserae.stages import generator

LABELS = np.array([0, 2, 1, 2])


class Counting:
    """Notes what it is told of lengths."""

    def __init__(self) -> None:
        self.told: list[tuple[list[list[int]], list[int]]] = []

    def count_lengths(self, rows: torch.Tensor, labels: torch.Tensor) -> None:
        self.told.append((rows.tolist(), labels.tolist()))


def drawn(chosen: np.ndarray, mirrored: np.ndarray, rng: torch.Generator) -> torch.Tensor:
    """A row of an image's number and whether it is mirrored."""
    return torch.from_numpy(np.stack([chosen, mirrored], axis=1))


def test_all_images_and_their_mirror_images_are_counted_in_parts(monkeypatch):
    monkeypatch.setattr(generator, "COUNTED", 3)
    model = Counting()
    generator._count_lengths(model, drawn, LABELS, 3)
    assert [row for rows, _ in model.told for row in rows] == [[i, m] for m in (0, 1) for i in range(4)]
    assert [label for _, labels in model.told for label in labels] == [*LABELS, *LABELS]


def test_a_class_without_images_is_refused_before_anything_is_counted():
    model = Counting()
    with pytest.raises(ValueError, match=r"no training images of the classes \[3, 4\] of 5.*add images of them"):
        generator._count_lengths(model, drawn, LABELS, 5)
    assert not model.told
