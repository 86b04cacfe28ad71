"""Official weights of Hita-V (`hita-tok.pt`, class VQModel): one key map, and what is left out."""

import re
from collections.abc import Mapping

from torch import Tensor

from tesserae.nn import conv_names
from tesserae.nn.official import load_strictly, read_official
from tesserae.tokenizers.hita import Hita

__all__ = ["load_official", "our_name", "read_official"]

RENAMES = (
    (r"^encode_transformer\.proj\.mlp\.", "encode_transformer.proj."),
    (r"\.layers\.", "."),
    (r"\.attn1\.to_out\.0\.", ".attn1.out_proj."),
    (r"\.attn1\.to_([qkv])\.", r".attn1.\1_proj."),
    (r"\.attn1\.", ".attn."),
    (r"\.ffnet\.", ".mlp."),
)
DROPPED = (
    *("quantize.codebook_used", "slot_quantize.codebook_used"),  # the last 65,536 codes, kept to log their usage
    "encode_transformer.backbone.",  # the frozen network: released files leave it out, those of a training may not
)
ULTRA = ("decode_transformer.mask_embedding", "decode_transformer.norm_vfm.", "decode_transformer.proj.")


def our_name(official: str, levels: int) -> str:
    """The name of an official tensor in a Hita whose convolutions have so many levels."""
    if not official.startswith(("encode_transformer.", "decode_transformer.")):
        return conv_names.our_name(official, levels)
    for theirs, ours in RENAMES:
        official = re.sub(theirs, ours, official)
    return official


def load_official(model: Hita, state: Mapping[str, Tensor]) -> int:
    """Copy official tensors into a tokenizer; returns how many of the file were left out.

    ValueError for Hita-U, and one that lists all that does not fit, before anything is copied.
    """
    if any(name.startswith(ULTRA) for name in state):
        raise ValueError(
            "this is Hita-U, whose decoder also rebuilds what a frozen network says; only Hita-V is read, hita-tok.pt"
        )
    levels = len(model.encoder.down)
    load_strictly(
        model,
        state,
        rename=lambda name: our_name(name, levels),
        training_only=model.TRAINING_ONLY,
        dropped=DROPPED,
    )
    return sum(name.startswith(DROPPED) for name in state)
