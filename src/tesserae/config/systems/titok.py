"""Settings of TiTok in its two-stage form (arXiv 2406.07550, Sec. 3 and App. A)."""

from typing import Literal

from tesserae.config import two_stage
from tesserae.config.resolve import Context, ResolvedRecipe, Spec
from tesserae.config.two_stage import NETWORK, OWN_SCHEDULE, Scaled, tokens

__all__ = ["NETWORK", "OFFICIAL", "OWN_SCHEDULE", "Recipe", "Scaled", "describe", "tokens"]

OFFICIAL = "tesserae.tokenizers.titok_weights"  # reads published weights


class Recipe(two_stage.TwoStage):
    """TiTok: all codes of the proxy are predicted at once."""

    system: Literal["titok"]


def describe(spec: Spec, recipe: ResolvedRecipe, context: Context) -> None:
    """Fill `model`, the keywords of TiTok, but for `proxy` (proxies.py) and what depends on the training's steps."""
    two_stage.describe("titok", spec, recipe, context)
