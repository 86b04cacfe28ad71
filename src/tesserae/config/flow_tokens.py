"""Settings that tokenizers of codes share which decode by a flow on patches: FlexTok's family and SelfTok's."""

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field

from tesserae.config.files import Strict
from tesserae.config.halves import describe_tokens
from tesserae.config.parts import Tokenizer
from tesserae.config.resolve import Context, ResolvedRecipe, Spec

Predicts = Literal["velocity", "image"]


class Projection(Strict):
    """Of adaptive projected guidance; momentum 0, norm_limit 0 and parallel 1 are guidance as it is."""

    momentum: float = Field(gt=-1, lt=1, description="beta")
    norm_limit: float = Field(ge=0, description="r, largest norm of what is added; 0: none")
    parallel: float = Field(ge=0, description="eta, how much of the part along the velocity stays")


class Flow(Strict):
    steps: int = Field(gt=0, description="of Euler's method when it decodes")
    guidance: float = Field(ge=1, description="1: none")
    projection: Projection
    null_probability: float = Field(ge=0, lt=1, description="of images whose tokens the decoder does not get")
    predicts: Predicts
    gate_start: float = Field(description="first bias of the gates of the decoder's blocks")


class FlowTokenizer(Tokenizer):
    encoder: str = Field(description="size, by its name in the scale's sizes of the system")
    decoder: str = Field(description="size, by its name in the scale's sizes of the system")
    patch_size: int = Field(gt=0)
    latent_tokens: int = Field(gt=0)
    flow: Flow


class ScaledFlow(Strict):
    steps: int | None = Field(None, gt=0)
    guidance: float | None = Field(None, ge=1)
    predicts: Predicts | None = None
    gate_start: float | None = None


class Scaled(Strict):
    patch_size: int | None = Field(None, gt=0, description="where the scale's own does not suit it")
    latent_tokens: dict[int, int] = Field({}, description="the paper's value -> ours")
    flow: ScaledFlow = ScaledFlow()


def describe(system: str, spec: Spec, recipe: ResolvedRecipe, context: Context) -> None:
    """Fill what is common of `model`."""
    describe_tokens(system, spec, recipe, context)
    for key in ("steps", "guidance", "null_probability", "predicts", "gate_start"):
        spec.set(f"model.flow.{key}", context.scaled(system, recipe, f"flow.{key}"))
    for key in Projection.model_fields:
        spec.set(f"model.flow.projection.{key}", recipe[f"flow.projection.{key}"])


def faults(model: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Key, problem and remedy of what a network of these settings cannot be."""
    side, patch = model["image_size"], model["patch_size"]
    if side % patch:
        problem = f"an image side of {side} is not divisible by patches of {patch}"
        yield "patch_size", problem, "choose a divisor of the image side"
    for part in ("encoder", "decoder"):
        width, heads = model[part]["width"], model[part]["heads"]
        if width % heads or width % 4:
            problem = f"a width of {width} is not divisible by {heads} heads and by 4"
            yield part, problem, "choose another width"
    flow = model.get("flow")
    if flow and flow["guidance"] != 1 and not flow["null_probability"]:
        problem = f"a guidance of {flow['guidance']} by a decoder that never learns to do without tokens"
        yield "flow.guidance", problem, "write guidance: 1.0, or a null_probability above 0"
