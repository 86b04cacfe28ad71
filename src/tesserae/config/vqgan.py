"""What the settings of LlamaGen's tokenizer and of MaskGIT's share: a grid of codes between convolutions."""

from collections.abc import Sequence

from tesserae.config.errors import ConfigError
from tesserae.config.files import Strict
from tesserae.config.resolve import Context, ResolvedRecipe, Spec, Tokens


def describe(
    system: str,
    spec: Spec,
    recipe: ResolvedRecipe,
    context: Context,
    *,
    network: type[Strict],
    scaled: Sequence[str],
    kept: Sequence[str] = (),
    loss_weights: type[Strict],
) -> None:
    """Fill `model`, the keywords of such a tokenizer, but for what depends on the training's steps.

    scaled, kept: settings that a scale may change, and others. ConfigError for an image that no grid of codes divides.
    """
    spec.set("model.image_size", context.mapped("image_size", recipe["image_size"]))
    for key in network.model_fields:
        spec.set(f"model.{key}", context.scaled(system, recipe, f"network.{key}"))
    for key in scaled:
        spec.set(f"model.{key}", context.scaled(system, recipe, key))
    for key in kept:
        spec.set(f"model.{key}", recipe[key])
    for term in loss_weights.model_fields:
        spec.set(f"model.loss_weights.{term}", context.scaled(system, recipe, f"loss_weights.{term}"))
    size, pixels = spec.values["model"]["image_size"], _side(spec.values["model"])
    if size % pixels:
        raise ConfigError(
            context.scale_file,
            f"systems.{system}.network.multipliers",
            f"image side {size} is not divisible by the {pixels} pixels of a code's side",
            "choose fewer levels, or another image size",
        )


def tokens(model: dict) -> Tokens:
    """A grid of codes, row by row."""
    grid = model["image_size"] // _side(model)
    return Tokens(grid**2, model["code_width"], "grid", model["codebook_size"])


def _side(model: dict) -> int:
    return 2 ** (len(model["multipliers"]) - 1)
