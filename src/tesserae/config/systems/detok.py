"""Settings of l-DeTok's tokenizer (arXiv 2507.15856)."""

from typing import Literal

from pydantic import Field

from tesserae.config.errors import ConfigError
from tesserae.config.files import Strict
from tesserae.config.parts import AdversarialTokenizer, ScaledWeights
from tesserae.config.resolve import Context, ResolvedRecipe, Spec, Tokens

OFFICIAL = "tesserae.tokenizers.detok_weights"  # reads published weights


class LossWeights(Strict):
    mse: float = Field(ge=0)
    perceptual: float = Field(ge=0)
    kl: float = Field(ge=0)
    gan: float = Field(ge=0)


class Recipe(AdversarialTokenizer):
    """l-DeTok, Sec. 3 and A.1. gamma = 0 with mask_ratio = 0 is the conventional autoencoder."""

    system: Literal["detok"]
    encoder: str = Field(description="size, by its name in the scale's sizes.detok")
    decoder: str = Field(description="size, by its name in the scale's sizes.detok")
    patch_size: int = Field(gt=0)
    latent_channels: int = Field(gt=0)
    noise: Literal["interpolative", "additive"] = Field(description="Eq. 4, or the variant of Fig. 2a")
    gamma: float = Field(ge=0, description="scale of the latent noise; 0: none")
    mask_ratio: float = Field(ge=0, lt=1, description="M: largest (random) or only (constant) masking ratio; 0: none")
    mask_mode: Literal["random", "constant"]
    perceptual: Literal["lpips+convnext", "lite2", "none"]
    loss_weights: LossWeights


class Scaled(Strict):
    perceptual: Literal["lpips+convnext", "lite2", "none"] | None = None
    loss_weights: ScaledWeights = ScaledWeights()


def describe(spec: Spec, recipe: ResolvedRecipe, context: Context) -> None:
    """Fill `model`, the keywords of DeTok, but for what depends on the training's steps."""
    for key in ("image_size", "patch_size", "latent_channels"):
        spec.set(f"model.{key}", context.mapped(key, recipe[key]))
    for part in ("encoder", "decoder"):
        for key, value in context.size("detok", recipe, part).items():
            spec.set(f"model.{part}.{key}", value)
    for key in ("noise", "gamma", "mask_ratio", "mask_mode"):
        spec.set(f"model.{key}", recipe[key])
    spec.set("model.perceptual", context.scaled("detok", recipe, "perceptual"))
    for term in LossWeights.model_fields:
        spec.set(f"model.loss_weights.{term}", context.scaled("detok", recipe, f"loss_weights.{term}"))
    size, patch = spec.values["model"]["image_size"], spec.values["model"]["patch_size"]
    if size % patch:
        raise ConfigError(
            context.scale_file,
            "patch_size",
            f"image side {size} is not divisible by patch {patch}",
            "choose a patch size that divides the image side",
        )


def tokens(model: dict) -> Tokens:
    """A grid of patches, row by row."""
    return Tokens((model["image_size"] // model["patch_size"]) ** 2, model["latent_channels"], "grid")
