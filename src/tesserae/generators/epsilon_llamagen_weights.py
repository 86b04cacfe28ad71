"""Published weights of Semanticist's generators (visual-gen/semanticist: `semanticist_ar_gen_L_on_tok_L.pkl`)."""

from collections.abc import Mapping

from torch import Tensor

from tesserae.generators.epsilon_llamagen import EpsilonLlamaGen
from tesserae.nn.official import load_strictly, read_official

__all__ = ["load_official", "read_official"]


def load_official(model: EpsilonLlamaGen, state: Mapping[str, Tensor]) -> None:
    """Copy averaged weights of a training, whose names may have the marks of compiled modules, strictly."""
    load_strictly(model, state, rename=lambda name: name.replace("._orig_mod", "").removeprefix("_orig_mod."))
