"""Published weights of MaskGIT-ViT: names are the official code's."""

from collections.abc import Mapping

from torch import Tensor

from tesserae.generators.maskgit import MaskGIT
from tesserae.nn.official import load_strictly

DROPPED = ("model.embeddings.position_ids",)  # 0 ... S: a table that older versions of its library saved


def load_official(model: MaskGIT, state: Mapping[str, Tensor]) -> None:
    """Copy them strictly; see `load_strictly`."""
    load_strictly(model, state, dropped=DROPPED)
