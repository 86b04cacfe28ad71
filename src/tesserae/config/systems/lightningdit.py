"""Settings of LightningDiT (arXiv 2501.01423)."""

from typing import Literal

from pydantic import Field

from tesserae.config.files import Strict
from tesserae.config.parts import Generator
from tesserae.config.resolve import Context, ResolvedRecipe, Spec

LAYOUTS = True  # `model.layout` says whether tokens stand on a grid


class Sampling(Strict):
    steps: int = Field(gt=1, description="points of the time grid: one more than Euler steps")
    shift: float = Field(
        gt=0, description="of the even grid, towards the noise if below 1: shift t / (1 + (shift-1) t)"
    )
    guidance_start: float = Field(ge=0, le=1, description="shifted time from which guidance acts")
    guidance: list[float] = Field(min_length=1, description="scales tried with guidance")


class Recipe(Generator):
    """LightningDiT as l-DeTok Sec. A.2 trains it."""

    system: Literal["lightningdit"]
    qk_norm: bool = Field(False, description="norm queries and keys of each head; off in both papers' configurations")
    cosine_loss_weight: float = Field(
        0.0, ge=0, description="of 1 - cosine(predicted, true velocity): 1 in the original, 0 in l-DeTok's code"
    )
    sampling: Sampling


class Scaled(Strict):
    sampling: Sampling | None = None


def describe(spec: Spec, recipe: ResolvedRecipe, context: Context) -> None:
    """Fill `model`, the keywords of LightningDiT."""
    for key, value in context.size("lightningdit", recipe, "size").items():
        spec.set(f"model.{key}", value)
    for key in ("qk_norm", "cosine_loss_weight"):
        spec.set(f"model.{key}", recipe[key])
