"""Settings of a tokenizer of ALIT's family (arXiv 2411.02393)."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from tesserae.config import flow_tokens
from tesserae.config.files import Strict
from tesserae.config.halves import describe_tokens
from tesserae.config.parts import Tokenizer
from tesserae.config.resolve import Context, ResolvedRecipe, Spec, Tokens

OFFICIAL = None  # published weights are those of another network


class Recipe(Tokenizer):
    """Several passes over an image, each of which adds tokens."""

    system: Literal["alit_like"]
    encoder: str = Field(description="size, by its name in the scale's sizes of the system")
    decoder: str = Field(description="size, by its name in the scale's sizes of the system")
    patch_size: int = Field(gt=0)
    latent_tokens: int = Field(gt=0, description="after the last pass")
    new_tokens: int = Field(gt=0, description="of each pass")
    codebook_size: int = Field(gt=1)
    code_width: int = Field(gt=0)
    pass_weights: list[Annotated[float, Field(ge=0)]] = Field(
        min_length=1, description="how much the image of each pass counts; the first ones, where there are fewer passes"
    )
    quantizer: float = Field(ge=0, description="weight of codebook and commitment losses together")
    commitment: float = Field(ge=0, description="weight of the commitment loss beside the codebook's")


class Scaled(Strict):
    patch_size: int | None = Field(None, gt=0, description="where the scale's own does not suit it")
    latent_tokens: dict[int, int] = Field({}, description="the paper's value -> ours")
    new_tokens: int | None = Field(None, gt=0)
    codebook_size: int | None = Field(None, gt=1)
    code_width: int | None = Field(None, gt=0)


def describe(spec: Spec, recipe: ResolvedRecipe, context: Context) -> None:
    """Fill `model`, the keywords of ALITLike. Raises ConfigError for sizes that do not fit one another."""
    describe_tokens("alit_like", spec, recipe, context)
    for key in ("new_tokens", "codebook_size", "code_width"):
        spec.set(f"model.{key}", context.scaled("alit_like", recipe, key))
    for key in ("pass_weights", "quantizer", "commitment"):
        spec.set(f"model.{key}", recipe[key])
    context.check(spec, recipe, _faults(spec.values["model"]))


def tokens(model: dict) -> Tokens:
    """A sequence of codes: those of the last pass."""
    return Tokens(model["latent_tokens"], model["code_width"], "sequence", model["codebook_size"])


def _faults(model: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    yield from flow_tokens.faults(model)
    count, new, passes = model["latent_tokens"], model["new_tokens"], len(model["pass_weights"])
    if count % new or count // new > passes:
        problem = f"{count} tokens cannot be added by {new} in at most {passes} passes, for which there are weights"
        yield "new_tokens", problem, "choose a divisor, or more pass_weights"
