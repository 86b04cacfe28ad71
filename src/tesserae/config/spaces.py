"""Whose tokens can be moved without steps (`TokenSpace` in contracts.py), and why those of others cannot."""

from collections.abc import Mapping
from typing import Any

SPACES = {
    "detok": "tesserae.tokenizers.token_space",
    "kl_vae": "tesserae.tokenizers.token_space",
    "va_vae": "tesserae.tokenizers.token_space",
    "maetok": "tesserae.tokenizers.token_space",
    "concepttok": "tesserae.tokenizers.concepttok_space",
    "titok": "tesserae.tokenizers.titok_space",
    "llamagen_vq": "tesserae.tokenizers.llamagen_vq_space",
    "maskgit_vqgan": "tesserae.tokenizers.maskgit_vqgan_space",
    "hita": "tesserae.tokenizers.hita_space",
    "tatok": "tesserae.tokenizers.tatok_space",
    "comptok": "tesserae.tokenizers.comptok_space",
    "comit": "tesserae.tokenizers.comit_space",
    "flextok_like": "tesserae.tokenizers.flow_space",
    "selftok_like": "tesserae.tokenizers.flow_space",
    "alit_like": "tesserae.tokenizers.alit_like_space",
}
# System -> why there is no number of it.
WITHOUT = {
    "sftok": "its decoder chooses codes on the way, and a choice has no gradient",
}
READS_PROMPT = "its decoder reads a prompt beside the codes"


def why_not(system: str, model: Mapping[str, Any]) -> str | None:
    """Why the tokens of a recipe of a system, with these settings of its network, cannot be moved; None if they can."""
    if system not in SPACES:
        return WITHOUT.get(system, "nobody has written how its tokens move")
    return READS_PROMPT if model.get("text") == "decoder" else None
