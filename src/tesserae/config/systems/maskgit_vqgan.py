"""Settings of MaskGIT's tokenizer (arXiv 2202.04200, App. A)."""

from typing import Literal

from pydantic import Field

from tesserae.config import parts, vqgan
from tesserae.config.files import Strict
from tesserae.config.parts import AdversarialTokenizer
from tesserae.config.resolve import Context, ResolvedRecipe, Spec
from tesserae.config.vqgan import tokens

__all__ = ["OFFICIAL", "Recipe", "Scaled", "describe", "tokens"]

OFFICIAL = "tesserae.tokenizers.maskgit_vqgan_weights"  # reads published weights


class LossWeights(Strict):
    reconstruction: float = Field(ge=0, description="of mean squared errors in [0, 1]")
    perceptual: float = Field(ge=0)
    codebook: float = Field(ge=0)
    commitment: float = Field(ge=0)
    entropy: float = Field(ge=0, description="of sure choices of all entries alike; 0: not computed")
    gan: float = Field(ge=0, description="of the autoencoder's part; the discriminator's has none")
    r1: float = Field(ge=0, description="of the squared gradient of the discriminator at real images")


class Network(Strict):
    channels: int = Field(gt=0, description="width at the images' resolution")
    multipliers: list[int] = Field(min_length=1, description="of the width, level by level; each halves the resolution")
    res_blocks: int = Field(gt=0, description="residual blocks of a level, and of the middle")


class Recipe(AdversarialTokenizer):
    """MaskGIT's tokenizer: convolutions without attention around a codebook of plain vectors."""

    system: Literal["maskgit_vqgan"]
    network: Network
    codebook_size: int = Field(gt=1)
    code_width: int = Field(gt=0, description="values of an entry of the codebook")
    perceptual: Literal["lpips", "lite2", "none"]
    loss_weights: LossWeights


class ScaledWeights(parts.ScaledWeights):
    reconstruction: float | None = Field(None, ge=0)
    codebook: float | None = Field(None, ge=0)
    entropy: float | None = Field(None, ge=0)


class Scaled(Strict):
    network: Network | None = None
    codebook_size: int | None = Field(None, gt=1)
    code_width: int | None = Field(None, gt=0)
    perceptual: Literal["lpips", "lite2", "none"] | None = None
    loss_weights: ScaledWeights = ScaledWeights()


def describe(spec: Spec, recipe: ResolvedRecipe, context: Context) -> None:
    """Fill `model`, the keywords of MaskGITVQGAN, but for what depends on the training's steps."""
    vqgan.describe(
        "maskgit_vqgan",
        spec,
        recipe,
        context,
        network=Network,
        scaled=("codebook_size", "code_width", "perceptual"),
        loss_weights=LossWeights,
    )
