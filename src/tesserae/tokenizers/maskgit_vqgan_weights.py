"""Official weights of MaskGIT's tokenizer, as TiTok hosts them: our names are theirs."""

from collections.abc import Mapping

from torch import Tensor

from tesserae.nn.official import load_strictly, read_official
from tesserae.tokenizers.maskgit_vqgan import MaskGITVQGAN

__all__ = ["load_official", "read_official"]


def load_official(model: MaskGITVQGAN, state: Mapping[str, Tensor]) -> None:
    """Copy official tensors into an autoencoder; ValueError lists all that does not fit, before any is copied."""
    load_strictly(model, state, training_only=model.TRAINING_ONLY)
