"""Official weights of LlamaGen's tokenizer (`vq_ds16_c2i.pt`, class VQModel): one key map, and what is left out."""

import re
from collections.abc import Mapping

from torch import Tensor

from tesserae.nn.official import load_strictly, read_official
from tesserae.tokenizers.llamagen_vq import LlamaGenVQ

__all__ = ["load_official", "our_name", "read_official"]

MIDDLE = ("block_1", "attn_1", "block_2")
WITHOUT_EFFECT = ("quantize.codebook_used",)  # the last 65,536 codes of its training, kept to log their usage


def our_name(official: str, levels: int) -> str:
    """The name of an official tensor in an autoencoder of so many levels."""
    name = re.sub(r"\.mid\.(\d)\.", lambda found: f".mid.{MIDDLE[int(found[1])]}.", official)
    name = re.sub(r"^encoder\.conv_blocks\.", "encoder.down.", name)
    # the official decoder counts its levels as they are run, ours from the highest resolution
    name = re.sub(r"^decoder\.conv_blocks\.(\d+)", lambda found: f"decoder.up.{levels - 1 - int(found[1])}", name)
    return name.replace(".res.", ".block.")


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
