"""Settings of MaskGIT-ViT (arXiv 2202.04200) as TiTok (arXiv 2406.07550) trains it, and of many lengths."""

from typing import Literal

from pydantic import Field

from tesserae.config.errors import ConfigError
from tesserae.config.files import Strict
from tesserae.config.parts import Generator
from tesserae.config.resolve import Context, ResolvedRecipe, Spec

DISCRETE = True  # it learns codes
RAGGED = True  # more of some images than of others
OFFICIAL = "tesserae.generators.maskgit_weights"


class Sampling(Strict):
    """All masked codes at each step, of which the most confident ones stay."""

    steps: int = Field(gt=0)
    choice_temperature: float = Field(ge=0, description="of the noise on codes and confidences; it falls linearly to 0")
    softmax_annealing: bool = Field(description="whether logits are divided by 1.3 at first and 0.5 in the end")
    guidance_schedule: Literal["constant", "linear", "power_cosine"] = Field(
        description="of guidance - 1 over the steps: constant; growing from 0; or as a power of a cosine (MDT)"
    )
    guidance_power: float = Field(3.0, gt=0, description="of power_cosine")
    guidance: list[float] = Field(
        min_length=1,
        description="scales tried with guidance, 1 being none; TiTok's constant and linear ones count from 0: add 1",
    )


class Recipe(Generator):
    """MaskGIT-ViT, of codes that stand in slots with learned positions."""

    system: Literal["maskgit"]
    slots: int | None = Field(None, gt=0, description="of the longest sequence; null: as many as the tokenizer's codes")
    dropout: float = Field(ge=0, lt=1, description="of embeddings, attention's and feed-forward's outputs")
    attention_dropout: float = Field(ge=0, lt=1)
    label_smoothing: float = Field(ge=0, lt=1)
    unmasked_weight: float = Field(ge=0, description="of the loss where nothing was masked")
    sampling: Sampling


class Scaled(Strict):
    dropout: float | None = Field(None, ge=0, lt=1)
    attention_dropout: float | None = Field(None, ge=0, lt=1)
    label_smoothing: float | None = Field(None, ge=0, lt=1)
    sampling: Sampling | None = None


def describe(spec: Spec, recipe: ResolvedRecipe, context: Context) -> None:
    """Fill `model`, the keywords of MaskGIT. ConfigError for fewer slots than the tokenizer makes codes."""
    for key, value in context.size("maskgit", recipe, "size").items():
        spec.set(f"model.{key}", value)
    slots, longest = recipe["slots"], spec.values["model"]["token_length"]
    if slots.value is None:
        spec.set("model.slots", longest, spec.origins["model.token_length"])
    elif slots.value < longest:
        raise ConfigError(
            *recipe.where("slots"),
            f"{slots.value} slots, and {recipe['tokenizer'].value} makes up to {longest} codes of an image",
            f"at least {longest}, or null",
        )
    else:
        spec.set("model.slots", slots)
    for key in ("dropout", "attention_dropout", "label_smoothing"):
        spec.set(f"model.{key}", context.scaled("maskgit", recipe, key))
    spec.set("model.unmasked_weight", recipe["unmasked_weight"])
