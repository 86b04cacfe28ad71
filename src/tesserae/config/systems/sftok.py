"""Settings of SFTok (arXiv 2512.16910): its code's (Neur-IO/SFTok), for the paper says less."""

from typing import Literal

from pydantic import Field, model_validator

from tesserae.config import two_stage
from tesserae.config.resolve import Context, ResolvedRecipe, Spec
from tesserae.config.two_stage import NETWORK, OWN_SCHEDULE, tokens

__all__ = ["NETWORK", "OFFICIAL", "OWN_SCHEDULE", "Recipe", "Scaled", "describe", "tokens"]

OFFICIAL = "tesserae.tokenizers.sftok_weights"  # reads published weights


class Recipe(two_stage.TwoStage):
    """SFTok: the codes of the proxy are predicted in several steps, from those that are known already."""

    system: Literal["sftok"]
    replaced: float | None = Field(
        ge=0,
        le=1,
        description="share of known codes that are its own predictions in training; null: it knows none, and predicts "
        "all at once",
    )
    unmasked_weight: float = Field(ge=0, description="of the cross-entropy where a code is known")
    steps: int = Field(gt=0, description="of a decoding")
    choice_temperature: float = Field(ge=0, description="of a decoding's noise, which falls linearly to 0")

    @model_validator(mode="after")
    def _own_codes(self) -> "Recipe":
        if self.learns == "pixels" and self.replaced not in (None, 1.0):
            raise ValueError("`learns: pixels` knows no codes but its own: write replaced: 1.0, or null")
        if self.replaced is None and self.steps > 1:
            raise ValueError(
                f"with `replaced: null` it never learns from known codes: write steps: 1, not {self.steps}"
            )
        return self


class Scaled(two_stage.Scaled):
    steps: int | None = Field(None, gt=0)


def describe(spec: Spec, recipe: ResolvedRecipe, context: Context) -> None:
    """Fill `model`, the keywords of SFTok, but for `proxy` (proxies.py) and what depends on the training's steps."""
    two_stage.describe("sftok", spec, recipe, context)
    for key in ("replaced", "unmasked_weight", "choice_temperature"):
        spec.set(f"model.{key}", recipe[key])
    spec.set("model.steps", context.scaled("sftok", recipe, "steps") if recipe.typed.steps > 1 else recipe["steps"])
