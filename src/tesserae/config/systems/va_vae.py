"""Settings of VA-VAE (arXiv 2501.01423)."""

from typing import Literal

from pydantic import Field

from tesserae.config import first_stage
from tesserae.config.files import Strict
from tesserae.config.first_stage import OFFICIAL, tokens
from tesserae.config.resolve import Context, ResolvedRecipe, Spec

__all__ = ["OFFICIAL", "Recipe", "Scaled", "describe", "tokens"]


class Alignment(Strict):
    weight: float = Field(ge=0, description="w_hyper; gradients at the encoder's last layer balance the loss besides")
    cosine_margin: float = Field(ge=0, le=1, description="how far a position's cosine may stay below 1")
    distance_margin: float = Field(ge=0, description="how far cosines of pairs of positions may differ")


class Recipe(first_stage.FirstStage):
    """A first stage whose latents are aligned with a frozen network's features."""

    system: Literal["va_vae"]
    foundation: Literal["dinov2", "lite2", "embedded"]
    alignment: Alignment


class Scaled(first_stage.Scaled):
    foundation: Literal["dinov2", "lite2", "embedded"] | None = None


def describe(spec: Spec, recipe: ResolvedRecipe, context: Context) -> None:
    """Fill `model`, the keywords of VAVAE, but for what depends on the training's steps."""
    first_stage.describe("va_vae", spec, recipe, context)
    spec.set("model.foundation", context.scaled("va_vae", recipe, "foundation"))
    for key in Alignment.model_fields:
        spec.set(f"model.alignment.{key}", recipe[f"alignment.{key}"])
