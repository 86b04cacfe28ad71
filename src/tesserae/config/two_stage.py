"""Settings that TiTok in two stages and SFTok share: one-dimensional codes, and those of a proxy that they predict."""

from typing import Literal

from pydantic import Field

from tesserae.config import parts
from tesserae.config.errors import ConfigError
from tesserae.config.files import Strict
from tesserae.config.halves import describe_tokens
from tesserae.config.parts import ProxyTokenizer
from tesserae.config.resolve import Context, ResolvedRecipe, Spec, Tokens

OWN_SCHEDULE = ("discriminator",)  # groups whose learning rate counts steps from their own start (official code)
# Keywords that make the network, which all stages share.
NETWORK = ("image_size", "patch_size", "latent_tokens", "codebook_size", "code_width", "encoder", "decoder", "proxy")
Perceptual = Literal["lpips", "convnext", "lite2", "none"]


class LossWeights(Strict):
    codes: float = Field(ge=0, description="where codes are learned: of the cross-entropy with the proxy's codes")
    quantizer: float = Field(ge=0, description="where codes are learned: of codebook and commitment losses together")
    reconstruction: float = Field(ge=0, description="where pixels are learned: of mean squared errors in [0, 1]")
    perceptual: float = Field(ge=0, description="where pixels are learned")
    gan: float = Field(ge=0, description="where pixels are learned")
    lecam: float = Field(ge=0, description="where pixels are learned: of the discriminator's LeCam term")


class TwoStage(ProxyTokenizer):
    """One-dimensional codes, from which the codes of a MaskGIT tokenizer are predicted."""

    encoder: str = Field(description="size, by its name in the scale's sizes of the system")
    decoder: str = Field(description="size, by its name in the scale's sizes of the system")
    patch_size: int = Field(gt=0)
    latent_tokens: int = Field(gt=0)
    codebook_size: int = Field(gt=1)
    code_width: int = Field(gt=0)
    commitment: float = Field(ge=0, description="weight of the commitment loss beside the codebook's")
    perceptual: Perceptual = Field(description="where pixels are learned")
    loss_weights: LossWeights


class ScaledWeights(parts.ScaledWeights):
    reconstruction: float | None = Field(None, ge=0)
    gan: float | None = Field(None, ge=0)


class Scaled(Strict):
    patch_size: int | None = Field(None, gt=0, description="where the scale's own does not suit it")
    latent_tokens: dict[int, int] = Field({}, description="the paper's value -> ours")
    codebook_size: int | None = Field(None, gt=1)
    code_width: int | None = Field(None, gt=0)
    perceptual: Perceptual | None = None
    loss_weights: ScaledWeights = ScaledWeights()


def describe(system: str, spec: Spec, recipe: ResolvedRecipe, context: Context) -> None:
    """Fill `model`, the keywords of such a tokenizer, but for `proxy` (proxies.py), what depends on the training's
    steps and what is a system's own.
    """
    describe_tokens(system, spec, recipe, context)
    for key in ("codebook_size", "code_width", "perceptual"):
        spec.set(f"model.{key}", context.scaled(system, recipe, key))
    for key in ("learns", "commitment"):
        spec.set(f"model.{key}", recipe[key])
    for term in LossWeights.model_fields:
        spec.set(f"model.loss_weights.{term}", context.scaled(system, recipe, f"loss_weights.{term}"))
    size, patch = spec.values["model"]["image_size"], spec.values["model"]["patch_size"]
    if size % patch:
        problem = f"{recipe.name}: an image side of {size} is not divisible by patches of {patch}"
        raise ConfigError(context.scale_file, "patch_size", problem, "choose a patch size that divides the image side")


def tokens(model: dict) -> Tokens:
    """One-dimensional codes: they stand nowhere on the image."""
    return Tokens(model["latent_tokens"], model["code_width"], "sequence", model["codebook_size"])
