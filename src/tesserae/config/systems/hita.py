"""Settings of Hita-V (arXiv 2507.02358): holistic tokens before the patches of a convolutional autoencoder."""

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field

from tesserae.config import parts
from tesserae.config.files import Strict
from tesserae.config.first_stage import Network
from tesserae.config.parts import AdversarialTokenizer
from tesserae.config.resolve import Context, ResolvedRecipe, Spec, Tokens

OFFICIAL = "tesserae.tokenizers.hita_weights"  # reads published weights
CODES = "tesserae.tokenizers.hita_codes"  # what its codes stand for


class LossWeights(Strict):
    reconstruction: float = Field(ge=0, description="of mean squared errors in [-1, 1]")
    perceptual: float = Field(ge=0)
    quantizer: float = Field(ge=0, description="of the codebook and commitment losses of both codebooks")
    gan: float = Field(ge=0)


class Recipe(AdversarialTokenizer):
    """Hita: carriers, patches and a frozen network's tokens in one encoder, two codebooks, a causal decoder."""

    system: Literal["hita"]
    network: Network = Field(description="the convolutions; as many levels as halve the image to a patch's side")
    encoder: str = Field(description="size, by its name in the scale's sizes.hita; blocks of each of its two stacks")
    decoder: str = Field(description="size, by its name in the scale's sizes.hita")
    holistic_tokens: int = Field(gt=0)
    shift: int = Field(ge=0, description="how many tokens before its own a patch is read")
    codebook_size: int = Field(gt=1, description="of each of the two")
    patch_code_width: int = Field(gt=0)
    holistic_code_width: int = Field(gt=0)
    foundation: Literal["dinov2_registers", "lite2"] = Field(
        description="frozen network whose tokens the encoder reads"
    )
    dropout: float = Field(
        ge=0, lt=1, description="of attention: of its outputs in the first stack, else of its weights"
    )
    commitment: float = Field(ge=0, description="weight of the commitment loss beside the codebook's")
    perceptual: Literal["lpips", "lite2", "none"]
    loss_weights: LossWeights


class ScaledWeights(parts.ScaledWeights):
    quantizer: float | None = Field(None, ge=0)


class Scaled(Strict):
    network: Network | None = None
    holistic_tokens: int | None = Field(None, gt=0)
    shift: int | None = Field(None, ge=0)
    codebook_size: int | None = Field(None, gt=1)
    patch_code_width: int | None = Field(None, gt=0)
    holistic_code_width: int | None = Field(None, gt=0)
    foundation: Literal["dinov2_registers", "lite2"] | None = None
    dropout: float | None = Field(None, ge=0, lt=1)
    perceptual: Literal["lpips", "lite2", "none"] | None = None
    loss_weights: ScaledWeights = ScaledWeights()


def describe(spec: Spec, recipe: ResolvedRecipe, context: Context) -> None:
    """Fill `model`, the keywords of Hita, but for what depends on the training's steps.

    Raises ConfigError for sizes that do not fit one another.
    """
    spec.set("model.image_size", context.mapped("image_size", recipe["image_size"]))
    for key in Network.model_fields:
        spec.set(f"model.network.{key}", context.scaled("hita", recipe, f"network.{key}"))
    for part in ("encoder", "decoder"):
        for key, value in context.size("hita", recipe, part).items():
            spec.set(f"model.{part}.{key}", value)
    for key in ("holistic_tokens", "shift", "codebook_size", "patch_code_width", "holistic_code_width"):
        spec.set(f"model.{key}", context.scaled("hita", recipe, key))
    for key in ("foundation", "dropout", "perceptual"):
        spec.set(f"model.{key}", context.scaled("hita", recipe, key))
    spec.set("model.commitment", recipe["commitment"])
    for term in LossWeights.model_fields:
        spec.set(f"model.loss_weights.{term}", context.scaled("hita", recipe, f"loss_weights.{term}"))
    context.check(spec, recipe, _faults(spec.values["model"]))


def tokens(model: dict) -> Tokens:
    """Holistic codes, then those of patches in raster order; codes of both codebooks share their numbers."""
    count = model["holistic_tokens"] + (model["image_size"] // _side(model)) ** 2
    return Tokens(count, model["patch_code_width"], "sequence", model["codebook_size"])


def _side(model: dict[str, Any]) -> int:
    return 2 ** (len(model["network"]["multipliers"]) - 1)


def _faults(model: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Key, problem and remedy of what a network of these settings cannot be."""
    size, side, holistic, shift = model["image_size"], _side(model), model["holistic_tokens"], model["shift"]
    if size % side:
        problem = f"an image side of {size} is not divisible by the {side} pixels of a patch's side"
        yield "network.multipliers", problem, "choose fewer levels, or another image size"
    if model["encoder"]["width"] != model["decoder"]["width"]:
        yield "decoder", "encoder and decoder are of different width", "give sizes of one width"
    for part in ("encoder", "decoder"):
        width, heads = model[part]["width"], model[part]["heads"]
        if width % heads:
            yield part, f"a width of {width} is not divisible by {heads} heads", "choose a divisor"
    if shift > holistic:
        problem = f"patches cannot be read {shift} tokens early behind {holistic} holistic ones"
        yield "shift", problem, "choose a smaller shift, or more holistic tokens"
