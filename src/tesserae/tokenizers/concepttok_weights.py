"""Published weights of TiTok and TA-TiTok in their one-stage form with a codebook; their names are ours.

The two-stage TiTok, whose decoder predicts codes of another tokenizer, is another network and is refused.
"""

from collections.abc import Mapping

from torch import Tensor

from tesserae.nn.official import load_strictly, read_official
from tesserae.tokenizers.concepttok import ConceptTok

__all__ = ["load_official", "read_official"]

FREQUENCIES = "quantize.embed_prob"  # of codes, with which only a training with online clustering goes on
TWO_STAGE = ("pixel_quantize.", "pixel_decoder.", "decoder.ffn.2.")


def load_official(model: ConceptTok, state: Mapping[str, Tensor]) -> int:
    """Copy official tensors into encoder, codebook and decoder; returns how many of the file were left out.

    ValueError for two-stage TiTok, and one that lists all that does not fit, before anything is copied.
    """
    if any(name.startswith(TWO_STAGE) for name in state):
        raise ValueError(
            "this is a two-stage TiTok, whose decoder predicts the codes of a MaskGIT-VQGAN: a recipe of system titok "
            "reads it; only one-stage files are read here, as titok_bl64_vq8k or tatitok_bl64_vq"
        )
    dropped = () if model.quantize.clustering else (FREQUENCIES,)
    load_strictly(model, state, training_only=model.TRAINING_ONLY, dropped=dropped)
    return sum(name.startswith(dropped) for name in state)
