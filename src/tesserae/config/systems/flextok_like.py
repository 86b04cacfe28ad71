"""Settings of a tokenizer of FlexTok's family (arXiv 2502.13967)."""

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from tesserae.config import flow_tokens
from tesserae.config.resolve import Context, ResolvedRecipe, Sourced, Spec, Tokens

OFFICIAL = None  # published weights are those of another network

Levels = list[Annotated[int, Field(gt=1)]]
Teacher = Literal["dinov2_vitb14", "lite2"]


class Recipe(flow_tokens.FlowTokenizer):
    """Registers in an order, finite scalar quantisation, nested dropout, a flow as decoder, REPA."""

    system: Literal["flextok_like"]
    levels: Levels = Field(min_length=1, description="of each value of a code's vector")
    kept_law: Literal["uniform", "powers", "next_power"] = Field(
        description="of the number of tokens that are kept in training: any; a power of two; or any, and then the next "
        "power of two"
    )
    mode_scale: float = Field(description="s of the times of training (SD3's mode sampling); 0: uniform")
    representation: float = Field(ge=0, description="weight of REPA; 0: none")
    teacher: Teacher = Field(description="frozen network whose features patches resemble")
    aligned_block: int = Field(ge=0, description="block of the decoder, from 0, after which they do")
    projector_width: int = Field(gt=0, description="of the hidden layers of the network between them")


class Scaled(flow_tokens.Scaled):
    levels: Levels | None = None
    teacher: Teacher | None = None
    aligned_block: int | None = Field(None, ge=0)
    projector_width: int | None = Field(None, gt=0)


def describe(spec: Spec, recipe: ResolvedRecipe, context: Context) -> None:
    """Fill `model`, the keywords of FlexTokLike. Raises ConfigError for sizes that do not fit one another."""
    flow_tokens.describe("flextok_like", spec, recipe, context)
    for key in ("levels", "aligned_block", "projector_width"):
        spec.set(f"model.{key}", context.scaled("flextok_like", recipe, key))
    for key in ("kept_law", "mode_scale", "representation"):
        spec.set(f"model.{key}", recipe[key])
    spec.set("model.teacher", teacher(recipe, context) or Sourced(None, recipe["representation"].origin))
    context.check(spec, recipe, _faults(spec.values["model"]))


def teacher(recipe: ResolvedRecipe, context: Context) -> Sourced | None:
    """The network whose features a recipe aligns with; None where that weighs nothing."""
    return context.scaled("flextok_like", recipe, "teacher") if recipe["representation"].value else None


def tokens(model: dict) -> Tokens:
    """A sequence of codes."""
    return Tokens(model["latent_tokens"], len(model["levels"]), "sequence", math.prod(model["levels"]))


def _faults(model: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    yield from flow_tokens.faults(model)
    count, law = model["latent_tokens"], model["kept_law"]
    if law != "uniform" and count & (count - 1):
        yield "latent_tokens", f"kept_law {law} needs a power of two, not {count} tokens", "write kept_law: uniform"
    if model["aligned_block"] >= model["decoder"]["blocks"]:
        problem = f"block {model['aligned_block']} of {model['decoder']['blocks']}, counted from 0"
        yield "aligned_block", problem, "choose an earlier one"
    if not -1 <= model["mode_scale"] <= 2 / (math.pi - 2):
        problem = f"a scale of {model['mode_scale']} makes mode sampling fold back"
        yield "mode_scale", problem, f"choose from -1 to {2 / (math.pi - 2):.2f}"
