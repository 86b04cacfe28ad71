"""Settings of DiT (arXiv 2212.09748)."""

from typing import Literal

from pydantic import Field

from tesserae.config.files import Strict
from tesserae.config.parts import Generator
from tesserae.config.resolve import Context, ResolvedRecipe, Spec

LAYOUTS = True  # `model.layout` says whether tokens stand on a grid


class Diffusion(Strict):
    steps: int = Field(gt=0, description="length of the training diffusion")
    schedule: Literal["cosine", "linear"]


class Sampling(Strict):
    steps: int = Field(gt=1, description="of the training diffusion's steps, evenly spaced")
    guidance: list[float] = Field(min_length=1, description="scales tried with guidance")
    x0_limit: float | None = Field(None, gt=0, description="clamp of the predicted clean tokens; null: none")


class Recipe(Generator):
    """DiT as l-DeTok Sec. A.2 trains it."""

    system: Literal["dit"]
    diffusion: Diffusion
    sampling: Sampling


class Scaled(Strict):
    sampling: Sampling | None = None


def describe(spec: Spec, recipe: ResolvedRecipe, context: Context) -> None:
    """Fill `model`, the keywords of DiT."""
    for key, value in context.size("dit", recipe, "size").items():
        spec.set(f"model.{key}", value)
    for key in Diffusion.model_fields:
        spec.set(f"model.diffusion.{key}", recipe[f"diffusion.{key}"])
