"""Settings of latent diffusion's first stage, which the systems kl_vae and va_vae train."""

from typing import Literal

from pydantic import Field

from tesserae.config.errors import ConfigError
from tesserae.config.files import Strict
from tesserae.config.parts import AdversarialTokenizer, ScaledWeights
from tesserae.config.resolve import Context, ResolvedRecipe, Spec, Tokens

OFFICIAL = "tesserae.tokenizers.kl_vae_weights"  # reads published weights


class LossWeights(Strict):
    reconstruction: float = Field(ge=0, description="of absolute errors in [-1, 1], summed over an image's pixels")
    perceptual: float = Field(ge=0, description="of the perceptual loss, times the pixels' number of values")
    kl: float = Field(ge=0, description="of the KL, summed over an image's latents")
    gan: float = Field(ge=0)


class Network(Strict):
    channels: int = Field(gt=0, description="width at the images' resolution")
    multipliers: list[int] = Field(min_length=1, description="of the width, level by level; each halves the resolution")
    res_blocks: int = Field(gt=0, description="residual blocks of an encoder's level; the decoder has one more")


class FirstStage(AdversarialTokenizer):
    """Latent diffusion (arXiv 2112.10752): a convolutional autoencoder with KL, perceptual and adversarial loss."""

    network: Network
    latent_channels: int = Field(gt=0)
    latent_patch: int = Field(1, gt=0, description="side of the square of latents that makes a token")
    encoder_attention: bool = Field(description="attention at the encoder's lowest level")
    decoder_attention: bool = Field(description="attention at the decoder's lowest level")
    noise: Literal["interpolative", "additive"] = Field("interpolative", description="as in l-DeTok's Eq. 4")
    gamma: float = Field(0.0, ge=0, description="scale of the noise on latents in training; 0: none")
    perceptual: Literal["lpips", "lite2", "none"]
    loss_weights: LossWeights
    adaptive_gan: bool = Field(description="balance the GAN loss by gradients at the decoder's last layer (VQGAN)")


class Scaled(Strict):
    networks: dict[int, Network] = Field({}, description="the paper's pixels per side of a latent -> our network")
    perceptual: Literal["lpips", "lite2", "none"] | None = None
    loss_weights: ScaledWeights = ScaledWeights()


def describe(system: str, spec: Spec, recipe: ResolvedRecipe, context: Context) -> None:
    """Fill `model`, the keywords of FirstStage, but for what depends on the training's steps."""
    for key in ("image_size", "latent_channels"):
        spec.set(f"model.{key}", context.mapped(key, recipe[key]))
    pixels = 2 ** (len(recipe["network.multipliers"].value) - 1)
    ours = getattr(context.scale.systems, system).networks.get(pixels)
    for key in Network.model_fields:
        value = getattr(ours, key, None)
        path = f"systems.{system}.networks.{pixels}.{key}"
        spec.set(f"model.{key}", context.either(value, recipe[f"network.{key}"], path))
    for key in ("latent_patch", "encoder_attention", "decoder_attention", "noise", "gamma", "adaptive_gan"):
        spec.set(f"model.{key}", recipe[key])
    spec.set("model.perceptual", context.scaled(system, recipe, "perceptual"))
    for term in LossWeights.model_fields:
        spec.set(f"model.loss_weights.{term}", context.scaled(system, recipe, f"loss_weights.{term}"))
    size, token = spec.values["model"]["image_size"], _side(spec.values["model"])
    if size % token:
        raise ConfigError(
            context.scale_file,
            f"systems.{system}.networks.{pixels}.multipliers",
            f"image side {size} is not divisible by the {token} pixels of a token's side",
            "choose fewer levels, or another image size",
        )


def tokens(model: dict) -> Tokens:
    """A grid of squares of latents, row by row."""
    width = model["latent_patch"] ** 2 * model["latent_channels"]
    return Tokens((model["image_size"] // _side(model)) ** 2, width, "grid")


def _side(model: dict) -> int:
    return 2 ** (len(model["multipliers"]) - 1) * model["latent_patch"]
