"""Published weights of TiTok in its two-stage form (S-128, B-64, L-32); their names are ours.

Files hold what is used: encoder, codebook, decoder, and of MaskGIT's tokenizer codebook and decoder, fine-tuned. The
one-stage TiTok, whose decoder makes pixels itself, is another network and is refused, as is a first stage alone.
"""

from collections.abc import Mapping

from torch import Tensor

from tesserae.nn.official import load_strictly, read_official
from tesserae.tokenizers.titok import TiTok
from tesserae.tokenizers.two_stage import PROXY

__all__ = ["load_official", "read_official"]

ONE_STAGE = "decoder.conv_out."


def load_official(model: TiTok, state: Mapping[str, Tensor]) -> None:
    """Copy official tensors into a tokenizer.

    ValueError for one-stage TiTok and for a first stage, and one that lists all that does not fit, before any is
    copied.
    """
    if any(name.startswith(ONE_STAGE) for name in state):
        raise ValueError(
            "this is a one-stage TiTok, whose decoder makes pixels itself: a recipe of system concepttok without text "
            "reads it; only two-stage files are read here, as titok_b64"
        )
    if not any(name.startswith(tuple(PROXY)) for name in state):
        raise ValueError("this is the first stage of a TiTok, which makes no images: take the file of the second")
    load_strictly(model, state, training_only=model.TRAINING_ONLY)
