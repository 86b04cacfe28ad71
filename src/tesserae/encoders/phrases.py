"""Short texts as one vector each: the mean of a frozen text encoder's features over the tokens of the text."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tesserae.encoders.t5 import t5_features
from tesserae.encoders.text import text_features

WIDTHS = {"minilm": 384, "t5": 768}
TOKENS = 16  # of a phrase, at most


@torch.no_grad()
def phrase_features(encoder: str, texts: Sequence[str], *, device: torch.device) -> Tensor:
    """Texts -> float32 (n, W). DECISION (D22): averaged over the tokens that are no padding.

    KeyError for an unknown encoder; FileNotFoundError or ImportError, with the remedy, for what is not there.
    """
    features, there = {"minilm": _minilm, "t5": t5_features}[encoder](texts, device)
    there = there.to(features)[..., None]
    return (features * there).sum(dim=1) / there.sum(dim=1)


def _minilm(texts: Sequence[str], device: torch.device) -> tuple[Tensor, Tensor]:
    features = text_features("minilm", texts, tokens=TOKENS, device=device)
    return features, features.abs().sum(dim=2) > 0  # those of padding are zero
