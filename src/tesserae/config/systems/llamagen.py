"""Settings of LlamaGen (arXiv 2406.06525), with its own positions or with those of GigaTok (arXiv 2504.08736)."""

from typing import Literal

from pydantic import Field

from tesserae.config.files import Strict
from tesserae.config.parts import Generator
from tesserae.config.resolve import Context, ResolvedRecipe, Spec

DISCRETE = True  # it learns codes


class Sampling(Strict):
    """One code per step."""

    unguided_fraction: float = Field(
        ge=0, le=1, description="fraction of the first codes that are drawn without guidance"
    )
    first_token_guided: bool = Field(description="whether the very first code is guided all the same")
    top_k: int = Field(ge=0, description="0: all codes")
    top_p: float = Field(gt=0, le=1)
    guidance: list[float] = Field(min_length=1, description="scales tried with guidance, at temperature 1")
    temperature: list[float] = Field(min_length=1, description="temperatures tried without guidance")


class Recipe(Generator):
    """LlamaGen as ConceptTok Sec. 5.1 trains it."""

    system: Literal["llamagen"]
    positions: Literal["learned", "rope2d"] = Field(description="learned: for any number of codes; rope2d: for a grid")
    dropout: float = Field(ge=0, lt=1, description="of embedded codes, attention's and feed-forward's outputs")
    sampling: Sampling


class Scaled(Strict):
    dropout: float | None = Field(None, ge=0, lt=1)
    sampling: Sampling | None = None


def describe(spec: Spec, recipe: ResolvedRecipe, context: Context) -> None:
    """Fill `model`, the keywords of LlamaGen."""
    for key, value in context.size("llamagen", recipe, "size").items():
        spec.set(f"model.{key}", value)
    spec.set("model.positions", recipe["positions"])
    spec.set("model.dropout", context.scaled("llamagen", recipe, "dropout"))
