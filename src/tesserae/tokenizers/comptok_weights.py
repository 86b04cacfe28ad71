"""Published weights of Semanticist's tokenizer (visual-gen/semanticist, `semanticist_tok_L.pkl` and `_XL.pkl`).

They are averaged weights of what was trained, under the names that our network has, some with what compiling puts into
names. The first stage is not among them: it comes with a recipe of its own. Of CompTok itself nothing is published.
"""

from collections.abc import Mapping

from torch import Tensor

from tesserae.nn.official import load_strictly, read_official
from tesserae.tokenizers.comptok import CompTok

__all__ = ["load_official", "read_official"]

# In a state dict of the whole model, beside what is trained: fixed tables and frozen networks.
DROPPED = ("dit.pos_embed", "nested_sampler.", "vae.", "repa_encoder.")
OWN = ("first_stage.",)


def our_name(official: str) -> str:
    """Without the marks of compiled modules."""
    return official.replace("._orig_mod", "").removeprefix("_orig_mod.")


def load_official(model: CompTok, state: Mapping[str, Tensor]) -> int:
    """Copy published tensors; returns how many of DROPPED the file held besides.

    ValueError lists all that does not fit, before anything is copied: so does a model with the three losses of CompTok.
    """
    named = {our_name(name): tensor for name, tensor in state.items()}
    load_strictly(model, named, training_only=OWN, dropped=DROPPED)
    return sum(name.startswith(DROPPED) for name in named)
