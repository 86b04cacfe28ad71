"""Settings of MAETok's tokenizer (arXiv 2502.03444)."""

from typing import Literal

from pydantic import Field

from tesserae.config.errors import ConfigError
from tesserae.config.files import Strict
from tesserae.config.parts import AdversarialTokenizer, ScaledWeights
from tesserae.config.resolve import Context, ResolvedRecipe, Sourced, Spec, Tokens

OFFICIAL = "tesserae.tokenizers.maetok_weights"  # reads published weights

Target = Literal["hog", "lite2", "embedded", "dinov2", "clip"]


class LossWeights(Strict):
    mse: float = Field(ge=0)
    perceptual: float = Field(ge=0)
    gan: float = Field(ge=0)
    auxiliary: float = Field(ge=0, description="of each auxiliary target")


class Recipe(AdversarialTokenizer):
    """MAETok, Sec. 3."""

    system: Literal["maetok"]
    encoder: str = Field(description="size, by its name in the scale's sizes.maetok")
    decoder: str = Field(description="size, by its name in the scale's sizes.maetok")
    modulated_decoder: bool = Field(
        description="whether latents scale and shift the decoder's norms at their positions"
    )
    patch_size: int = Field(gt=0)
    latent_tokens: int = Field(gt=0)
    latent_channels: int = Field(gt=0)
    auxiliary: str = Field(description="size of each auxiliary decoder, by its name in the scale's sizes.maetok")
    auxiliary_targets: list[Target] = Field(description="what they predict at hidden patches")
    mask_ratio_min: float = Field(ge=0, lt=1, description="smallest fraction of hidden patches in training")
    mask_ratio_max: float = Field(ge=0, lt=1, description="largest; 0: none is hidden")
    perceptual: Literal["lpips", "lite2", "none"]
    loss_weights: LossWeights
    adaptive_gan: bool = Field(description="VQGAN's adaptive weight of the GAN loss")


class Scaled(Strict):
    latent_tokens: int | None = Field(None, gt=0)
    modulated_decoder: bool | None = None
    auxiliary_targets: list[Target] | None = None
    perceptual: Literal["lpips", "lite2", "none"] | None = None
    loss_weights: ScaledWeights = ScaledWeights()


def describe(spec: Spec, recipe: ResolvedRecipe, context: Context) -> None:
    """Fill `model`, the keywords of MAETok, but for what depends on the training's steps."""
    for key in ("image_size", "patch_size", "latent_channels"):
        spec.set(f"model.{key}", context.mapped(key, recipe[key]))
    for part in ("encoder", "decoder"):
        for key, value in context.size("maetok", recipe, part).items():
            spec.set(f"model.{part}.{key}", value)
    targets = context.scaled("maetok", recipe, "auxiliary_targets")
    size = {key: value.value for key, value in context.size("maetok", recipe, "auxiliary").items()}
    spec.set("model.auxiliary", Sourced([{"target": name, **size} for name in targets.value], targets.origin))
    for key in ("mask_ratio_min", "mask_ratio_max", "adaptive_gan"):
        spec.set(f"model.{key}", recipe[key])
    for key in ("latent_tokens", "modulated_decoder", "perceptual"):
        spec.set(f"model.{key}", context.scaled("maetok", recipe, key))
    for term in LossWeights.model_fields:
        spec.set(f"model.loss_weights.{term}", context.scaled("maetok", recipe, f"loss_weights.{term}"))
    side, patch = spec.values["model"]["image_size"], spec.values["model"]["patch_size"]
    if side % patch or ("hog" in targets.value and patch % 2):
        raise ConfigError(
            context.scale_file,
            "patch_size",
            f"image side {side} is not divisible by patch {patch}, or HOG is to be predicted for patches of odd side",
            "choose an even patch size that divides the image side",
        )


def tokens(model: dict) -> Tokens:
    """One-dimensional tokens: they stand nowhere on the image."""
    return Tokens(model["latent_tokens"], model["latent_channels"], "sequence")
