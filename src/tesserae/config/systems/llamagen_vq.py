"""Settings of LlamaGen's tokenizer (arXiv 2406.06525, Sec. 2.1)."""

from typing import Literal

from pydantic import Field

from tesserae.config.errors import ConfigError
from tesserae.config.files import Strict
from tesserae.config.first_stage import Network
from tesserae.config.parts import AdversarialTokenizer, ScaledWeights
from tesserae.config.resolve import Context, ResolvedRecipe, Spec, Tokens

OFFICIAL = "tesserae.tokenizers.llamagen_vq_weights"  # reads published weights


class LossWeights(Strict):
    reconstruction: float = Field(ge=0, description="of mean squared errors in [-1, 1]")
    perceptual: float = Field(ge=0, description="of the perceptual loss")
    quantizer: float = Field(ge=0, description="of the codebook, commitment and entropy losses together")
    gan: float = Field(ge=0)


class Recipe(AdversarialTokenizer):
    """LlamaGen's VQ tokenizer: a convolutional autoencoder around a codebook of unit vectors."""

    system: Literal["llamagen_vq"]
    network: Network
    latent_channels: int = Field(gt=0, description="between the network and the codes' projections (z_channels)")
    codebook_size: int = Field(gt=1)
    code_width: int = Field(gt=0, description="values of an entry of the codebook")
    commitment: float = Field(ge=0, description="weight of the commitment loss beside the codebook's")
    entropy_ratio: float = Field(ge=0, description="weight of the entropy loss beside the codebook's; 0: not computed")
    perceptual: Literal["lpips", "lite2", "none"]
    loss_weights: LossWeights
    adaptive_gan: bool = Field(description="balance the GAN loss by gradients at the decoder's last layer (VQGAN)")


class Scaled(Strict):
    network: Network | None = None
    latent_channels: int | None = Field(None, gt=0)
    codebook_size: int | None = Field(None, gt=1)
    code_width: int | None = Field(None, gt=0)
    perceptual: Literal["lpips", "lite2", "none"] | None = None
    loss_weights: ScaledWeights = ScaledWeights()


def describe(spec: Spec, recipe: ResolvedRecipe, context: Context) -> None:
    """Fill `model`, the keywords of LlamaGenVQ, but for what depends on the training's steps."""
    spec.set("model.image_size", context.mapped("image_size", recipe["image_size"]))
    for key in Network.model_fields:
        spec.set(f"model.{key}", context.scaled("llamagen_vq", recipe, f"network.{key}"))
    for key in ("latent_channels", "codebook_size", "code_width", "perceptual"):
        spec.set(f"model.{key}", context.scaled("llamagen_vq", recipe, key))
    for key in ("commitment", "entropy_ratio", "adaptive_gan"):
        spec.set(f"model.{key}", recipe[key])
    for term in LossWeights.model_fields:
        spec.set(f"model.loss_weights.{term}", context.scaled("llamagen_vq", recipe, f"loss_weights.{term}"))
    size, pixels = spec.values["model"]["image_size"], _side(spec.values["model"])
    if size % pixels:
        raise ConfigError(
            context.scale_file,
            "systems.llamagen_vq.network.multipliers",
            f"image side {size} is not divisible by the {pixels} pixels of a code's side",
            "choose fewer levels, or another image size",
        )


def tokens(model: dict) -> Tokens:
    """A grid of codes, row by row."""
    grid = model["image_size"] // _side(model)
    return Tokens(grid**2, model["code_width"], "grid", model["codebook_size"])


def _side(model: dict) -> int:
    return 2 ** (len(model["multipliers"]) - 1)
