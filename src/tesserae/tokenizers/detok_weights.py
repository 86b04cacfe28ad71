"""Official l-DeTok weights: one key map."""

from collections.abc import Mapping

from torch import Tensor

from tesserae.nn.official import load_strictly, read_official
from tesserae.tokenizers.detok import DeTok

__all__ = ["load_official", "our_name", "read_official"]

RENAMES = (
    ("encoder.patch_embed.0.", "encoder.patch_embed."),
    ("decoder.ffn.1.", "decoder.head."),
    ("encoder.transformer.", "encoder.blocks."),
    ("decoder.transformer.", "decoder.blocks."),
)


def our_name(official: str) -> str:
    """The name of an official tensor in DeTok. Names without an entry in RENAMES are the same in both."""
    for theirs, ours in RENAMES:
        if official.startswith(theirs):
            return ours + official.removeprefix(theirs)
    return official


def load_official(model: DeTok, state: Mapping[str, Tensor]) -> None:
    """Copy official tensors into encoder and decoder; ValueError lists all that does not fit, before any is copied."""
    load_strictly(model, state, rename=our_name, training_only=("discriminator.",))
