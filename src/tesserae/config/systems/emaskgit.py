"""Settings of MaskGIT with a diffusion head (CompTok, arXiv 2602.03339, Sec. 3.5)."""

from typing import Literal

from pydantic import Field

from tesserae.config.files import Strict
from tesserae.config.parts import DiffLoss, DiffLossScale, Generator
from tesserae.config.resolve import Context, ResolvedRecipe, Spec


class Sampling(Strict):
    steps: int = Field(gt=0)
    diffusion_steps: int = Field(gt=0)
    guidance_schedule: Literal["linear", "constant"]
    guidance: list[float] = Field(min_length=1, description="scales tried with guidance")
    guided_temperature: float | None = Field(None, gt=0, description="temperature with guidance; null: 1")
    temperature: list[float] = Field(min_length=1, description="temperatures tried without guidance")
    x0_limit: float | None = Field(None, gt=0, description="clamp of the predicted clean token; null: none")


class Recipe(Generator):
    """MaskGIT's backbone with MAR's diffusion loss."""

    system: Literal["emaskgit"]
    dropout: float = Field(ge=0, lt=1, description="after attention and feed-forward layer")
    diffloss: DiffLoss
    sampling: Sampling


class Scaled(Strict):
    dropout: float | None = Field(None, ge=0, lt=1)
    diffloss: DiffLossScale | None = None
    sampling: Sampling | None = None


def describe(spec: Spec, recipe: ResolvedRecipe, context: Context) -> None:
    """Fill `model`, the keywords of EMaskGIT."""
    for key, value in context.size("emaskgit", recipe, "size").items():
        spec.set(f"model.{key}", value)
    spec.set("model.dropout", context.scaled("emaskgit", recipe, "dropout"))
    for key in DiffLoss.model_fields:
        spec.set(f"model.diffloss.{key}", context.scaled("emaskgit", recipe, f"diffloss.{key}"))
