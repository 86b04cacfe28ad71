"""Settings of LlamaGen's tokenizer (arXiv 2406.06525, Sec. 2.1)."""

from typing import Literal

from pydantic import Field

from tesserae.config import vqgan
from tesserae.config.files import Strict
from tesserae.config.first_stage import Network
from tesserae.config.parts import AdversarialTokenizer, ScaledWeights
from tesserae.config.resolve import Context, ResolvedRecipe, Spec
from tesserae.config.vqgan import tokens

__all__ = ["OFFICIAL", "Recipe", "Scaled", "describe", "tokens"]

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
    vqgan.describe(
        "llamagen_vq",
        spec,
        recipe,
        context,
        network=Network,
        scaled=("latent_channels", "codebook_size", "code_width", "perceptual"),
        kept=("commitment", "entropy_ratio", "adaptive_gan"),
        loss_weights=LossWeights,
    )
