"""Official weights of LlamaGen's tokenizer (`vq_ds16_c2i.pt`, class VQModel): one key map, and what is left out."""

from collections.abc import Mapping

from torch import Tensor

from tesserae.nn.conv_names import our_name
from tesserae.nn.official import load_strictly, read_official
from tesserae.tokenizers.llamagen_vq import LlamaGenVQ

__all__ = ["load_official", "our_name", "read_official"]

WITHOUT_EFFECT = ("quantize.codebook_used",)  # the last 65,536 codes of its training, kept to log their usage


def load_official(model: LlamaGenVQ, state: Mapping[str, Tensor]) -> None:
    """Copy official tensors into an autoencoder; ValueError lists all that does not fit, before any is copied."""
    levels = len(model.encoder.down)
    load_strictly(
        model,
        state,
        rename=lambda name: our_name(name, levels),
        training_only=model.TRAINING_ONLY,
        dropped=WITHOUT_EFFECT,
    )
