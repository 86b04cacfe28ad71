"""Settings of MAR (arXiv 2406.11838)."""

from typing import Literal

from pydantic import Field

from tesserae.config.files import Strict
from tesserae.config.parts import DiffLoss, DiffLossScale, Generator
from tesserae.config.resolve import Context, ResolvedRecipe, Spec


class Sampling(Strict):
    iterations: int = Field(gt=0, description="autoregressive iterations")
    diffusion_steps: int = Field(gt=0)
    guidance_schedule: Literal["linear", "constant"]
    guidance: list[float] = Field(min_length=1, description="scales tried with guidance")
    guided_temperature: float | None = Field(None, gt=0, description="temperature with guidance; null: the papers' 1")
    temperature: list[float] = Field(min_length=1, description="temperatures tried without guidance")
    x0_limit: float | None = Field(None, gt=0, description="clamp of the predicted clean token; null: none")


class Recipe(Generator):
    """MAR as l-DeTok Sec. A.2 trains it."""

    system: Literal["mar"]
    buffer_size: int = Field(gt=0)
    attention_dropout: float = Field(ge=0, lt=1)
    projection_dropout: float = Field(ge=0, lt=1)
    mask_ratio_min: float = Field(gt=0, le=1)
    mask_ratio_std: float = Field(gt=0)
    diffloss: DiffLoss
    sampling: Sampling


class Scaled(Strict):
    buffer_size: int | None = None
    attention_dropout: float | None = Field(None, ge=0, lt=1)
    projection_dropout: float | None = Field(None, ge=0, lt=1)
    mask_ratio_min: float | None = Field(None, gt=0, le=1)
    mask_ratio_std: float | None = Field(None, gt=0)
    diffloss: DiffLossScale | None = None
    sampling: Sampling | None = None


def describe(spec: Spec, recipe: ResolvedRecipe, context: Context) -> None:
    """Fill `model`, the keywords of MAR."""
    size = context.size("mar", recipe, "size")
    spec.set("model.width", size["width"])
    spec.set("model.heads", size["heads"])
    for part in ("encoder_blocks", "decoder_blocks"):  # MAR's encoder and decoder are equally deep
        spec.set(f"model.{part}", size["blocks"])
    for key in ("buffer_size", "attention_dropout", "projection_dropout", "mask_ratio_min", "mask_ratio_std"):
        spec.set(f"model.{key}", context.scaled("mar", recipe, key))
    for key in DiffLoss.model_fields:
        spec.set(f"model.diffloss.{key}", context.scaled("mar", recipe, f"diffloss.{key}"))
