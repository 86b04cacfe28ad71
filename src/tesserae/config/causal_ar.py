"""Settings that RandomAR and RasterAR share: they differ in the order of the tokens alone (l-DeTok, App. A.2)."""

from typing import Literal

from pydantic import Field

from tesserae.config.files import Strict
from tesserae.config.parts import DiffLoss, DiffLossScale, Generator
from tesserae.config.resolve import Context, ResolvedRecipe, Spec


class Sampling(Strict):
    """One token per step."""

    diffusion_steps: int = Field(gt=0)
    guidance_schedule: Literal["linear", "constant"]
    guidance: list[float] = Field(min_length=1, description="scales tried with guidance")
    guided_temperature: float | None = Field(None, gt=0, description="temperature with guidance; null: the papers' 1")
    temperature: list[float] = Field(min_length=1, description="temperatures tried without guidance")
    x0_limit: float | None = Field(None, gt=0, description="clamp of the predicted clean token; null: none")


class CausalAR(Generator):
    diffloss: DiffLoss
    sampling: Sampling


class Scaled(Strict):
    diffloss: DiffLossScale | None = None
    sampling: Sampling | None = None


def describe(system: str, spec: Spec, recipe: ResolvedRecipe, context: Context) -> None:
    """Fill `model`, the keywords of CausalAR."""
    for key, value in context.size(system, recipe, "size").items():
        spec.set(f"model.{key}", value)
    for key in DiffLoss.model_fields:
        spec.set(f"model.diffloss.{key}", context.scaled(system, recipe, f"diffloss.{key}"))
