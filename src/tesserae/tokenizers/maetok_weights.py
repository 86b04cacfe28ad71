"""Official MAETok weights (class AEModel or MaskAEModel of the official code): one key map, and what is left out."""

from collections.abc import Mapping

from torch import Tensor

from tesserae.nn.official import load_strictly, read_official
from tesserae.tokenizers.maetok import MAETok

__all__ = ["load_official", "our_name", "read_official"]

RENAMES = (
    ("quant_conv.", "encoder.head."),
    ("post_quant_conv.", "decoder.embed."),
    ("decoder.to_pixel.model.", "decoder.head."),
    ("encoder.model.patch_embed.proj.", "encoder.patch_embed."),
    ("encoder.model.", "encoder."),
    ("decoder.model.", "decoder."),
)
TRAINING_ONLY = (  # auxiliary decoders, and the frozen networks that the official class registers
    *(f"{part}_{target}." for target in ("hog", "dino", "clip") for part in ("decoder", "post_quant_conv", "to_pixel")),
    *("hog_generator.", "repa_model.", "clip_model.", "projection."),
)
WITHOUT_EFFECT = (  # coordinates that follow from the size, and what the official decoder has and never uses
    *("encoder.freqs_t_x", "encoder.freqs_t_y", "decoder.freqs_t_x", "decoder.freqs_t_y"),
    *("decoder.model.patch_embed.", "decoder.model.pos_embed"),
    "decoder.model.norm.adaLN_modulation.",  # of the last norm: it modulates latents, which are dropped after it
)


def our_name(official: str) -> str:
    """The name of an official tensor in MAETok. Names without an entry in RENAMES are the same in both."""
    for theirs, ours in RENAMES:
        if official.startswith(theirs):
            return ours + official.removeprefix(theirs)
    return official


def load_official(model: MAETok, state: Mapping[str, Tensor]) -> None:
    """Copy official tensors into encoder and decoder, but for those of TRAINING_ONLY and WITHOUT_EFFECT.

    ValueError lists all that does not fit, before any is copied.
    """
    dropped = TRAINING_ONLY + WITHOUT_EFFECT
    load_strictly(model, state, rename=our_name, training_only=model.TRAINING_ONLY, dropped=dropped)
