"""Settings of the convolutional KL autoencoders SD-VAE (arXiv 2112.10752) and MAR-VAE (arXiv 2406.11838)."""

from typing import Literal

from tesserae.config import first_stage
from tesserae.config.first_stage import OFFICIAL, Scaled, tokens
from tesserae.config.resolve import Context, ResolvedRecipe, Spec

__all__ = ["OFFICIAL", "Recipe", "Scaled", "describe", "tokens"]


class Recipe(first_stage.FirstStage):
    """A first stage as latent diffusion trains it."""

    system: Literal["kl_vae"]


def describe(spec: Spec, recipe: ResolvedRecipe, context: Context) -> None:
    """Fill `model`, the keywords of FirstStage, but for what depends on the training's steps."""
    first_stage.describe("kl_vae", spec, recipe, context)
