"""Settings of RasterAR: causal generation, row by row (l-DeTok, arXiv 2507.15856, App. A.2)."""

from typing import Literal

from tesserae.config import causal_ar
from tesserae.config.causal_ar import Scaled
from tesserae.config.resolve import Context, ResolvedRecipe, Spec

__all__ = ["Recipe", "Scaled", "describe"]


class Recipe(causal_ar.CausalAR):
    """RasterAR as l-DeTok Sec. A.2 trains it."""

    system: Literal["rasterar"]


def describe(spec: Spec, recipe: ResolvedRecipe, context: Context) -> None:
    """Fill `model`, the keywords of CausalAR."""
    causal_ar.describe("rasterar", spec, recipe, context)
