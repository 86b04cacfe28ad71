"""Published weights of SFTok (SFTok-B, SFTok-L): positions have names of their own there, all else is called the same.

Files hold what is used: encoder, codebook, decoder, and of MaskGIT's tokenizer codebook and decoder, fine-tuned. What
the first two stages leave makes no images and is refused.
"""

from collections.abc import Mapping

from torch import Tensor

from tesserae.nn.official import load_strictly, read_official
from tesserae.tokenizers.sftok import SFTok
from tesserae.tokenizers.two_stage import PROXY

__all__ = ["load_official", "our_name", "read_official"]

NAMES = {
    "decoder.condition_positional_embedding": "decoder.latent_token_positional_embedding",
    "decoder.learnable_embedding_positional_embedding": "decoder.positional_embedding",
    "decoder.embedding_positional_embedding": "decoder.positional_embedding",  # in older files
}
WITHOUT_EFFECT = ("quantize.index_offset",)  # where each of several codebooks begins; there is one


def our_name(official: str) -> str:
    """The name of an official tensor in our network."""
    return NAMES.get(official, official)


def load_official(model: SFTok, state: Mapping[str, Tensor]) -> None:
    """Copy official tensors into a tokenizer.

    ValueError for what an earlier stage left, and one that lists all that does not fit, before any is copied.
    """
    if not any(name.startswith(tuple(PROXY)) for name in state):
        raise ValueError("this is an earlier stage of an SFTok, which makes no images: take the file of the last")
    load_strictly(model, state, rename=our_name, training_only=model.TRAINING_ONLY, dropped=WITHOUT_EFFECT)
