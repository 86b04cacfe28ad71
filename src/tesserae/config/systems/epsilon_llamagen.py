"""Settings of epsilon-LlamaGen, the generator of Semanticist (arXiv 2503.08685)."""

from typing import Literal

from pydantic import Field

from tesserae.config.errors import ConfigError
from tesserae.config.files import Strict
from tesserae.config.parts import Generator
from tesserae.config.resolve import Context, ResolvedRecipe, Spec

OFFICIAL = "tesserae.generators.epsilon_llamagen_weights"  # reads published weights


class Head(Strict):
    blocks: int = Field(gt=0)
    width: int = Field(gt=0)
    batch_multiplier: int = Field(gt=0, description="draws of (t, noise) per token in a training step")


class Sampling(Strict):
    flow_steps: int = Field(gt=1, description="evaluations of a token's flow")
    guidance_schedule: Literal["linear", "constant"]
    guidance: list[float] = Field(min_length=1, description="scales tried with guidance")
    guided_temperature: float | None = Field(None, gt=0, description="temperature with guidance; null: 1")
    temperature: list[float] = Field(min_length=1, description="temperatures tried without guidance")


class Recipe(Generator):
    """A language model of an image's first tokens."""

    system: Literal["epsilon_llamagen"]
    first_tokens: int = Field(gt=0, description="how many tokens it learns, from the first one on")
    dropout: float = Field(ge=0, lt=1, description="after attention and feed-forward layer")
    head: Head
    sampling: Sampling


class Scaled(Strict):
    first_tokens: int | None = Field(None, gt=0)
    dropout: float | None = Field(None, ge=0, lt=1)
    head: Head | None = None
    sampling: Sampling | None = None


def describe(spec: Spec, recipe: ResolvedRecipe, context: Context) -> None:
    """Fill `model`, the keywords of EpsilonLlamaGen. ConfigError for more tokens than the tokenizer makes."""
    for key, value in context.size("epsilon_llamagen", recipe, "size").items():
        spec.set(f"model.{key}", value)
    for key in ("first_tokens", "dropout"):
        spec.set(f"model.{key}", context.scaled("epsilon_llamagen", recipe, key))
    for key in Head.model_fields:
        spec.set(f"model.head.{key}", context.scaled("epsilon_llamagen", recipe, f"head.{key}"))
    learned, made = spec.values["model"]["first_tokens"], spec.values["model"]["token_length"]
    if learned > made:
        file, key = recipe.where("first_tokens")
        problem = f"the first {learned} of the {made} tokens that {recipe['tokenizer'].value} makes"
        raise ConfigError(file, key, problem, f"at most {made}")
