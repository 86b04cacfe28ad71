"""Settings of a tokenizer of SelfTok's family (arXiv 2505.07538)."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tesserae.config import flow_tokens
from tesserae.config.resolve import Context, ResolvedRecipe, Spec, Tokens

OFFICIAL = None  # published weights are those of another network


class Recipe(flow_tokens.FlowTokenizer):
    """A flow that sees the more tokens the noisier the image is, and a codebook of directions."""

    system: Literal["selftok_like"]
    codebook_size: int = Field(gt=1)
    code_width: int = Field(gt=0)
    quantizer: float = Field(ge=0, description="weight of codebook and commitment losses together")
    commitment: float = Field(ge=0, description="weight of the commitment loss beside the codebook's")
    stage_ends: list[float] = Field(min_length=1, description="shares of noise at which stages end, rising to 1")
    stage_counts: list[Annotated[int, Field(ge=0)]] = Field(
        description="how many tokens come to be seen in each stage, as parts of them all"
    )

    @model_validator(mode="after")
    def _law(self) -> "Recipe":
        rising = all(before < after for before, after in zip([0.0, *self.stage_ends], self.stage_ends, strict=False))
        if not rising or self.stage_ends[-1] != 1:
            raise ValueError(f"stage_ends {self.stage_ends} do not rise from above 0 to 1")
        if len(self.stage_counts) != len(self.stage_ends) or not sum(self.stage_counts):
            raise ValueError(f"stage_counts {self.stage_counts}: give one for each of {len(self.stage_ends)} stages")
        return self


class Scaled(flow_tokens.Scaled):
    codebook_size: int | None = Field(None, gt=1)
    code_width: int | None = Field(None, gt=0)


def describe(spec: Spec, recipe: ResolvedRecipe, context: Context) -> None:
    """Fill `model`, the keywords of SelfTokLike. Raises ConfigError for sizes that do not fit one another."""
    flow_tokens.describe("selftok_like", spec, recipe, context)
    for key in ("codebook_size", "code_width"):
        spec.set(f"model.{key}", context.scaled("selftok_like", recipe, key))
    for key in ("quantizer", "commitment", "stage_ends", "stage_counts"):
        spec.set(f"model.{key}", recipe[key])
    context.check(spec, recipe, flow_tokens.faults(spec.values["model"]))


def tokens(model: dict) -> Tokens:
    """A sequence of codes."""
    return Tokens(model["latent_tokens"], model["code_width"], "sequence", model["codebook_size"])
