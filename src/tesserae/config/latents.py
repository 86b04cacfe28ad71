"""Tokenizers that draw in the latents of another one, their first stage: what has to fit what.

Such a tokenizer's recipe names it (`latents_of`); `model.first_stage` is filled here, from its own settings. Or the
scale gives the system a first stage in closed form (`first_stage`), and then nothing is drawn in another's latents.
"""

from pydantic import Field

from tesserae.config.errors import ConfigError
from tesserae.config.files import Strict
from tesserae.config.resolve import ResolvedRecipe, Spec
from tesserae.config.types import GeneralScale

SYSTEM = "kl_vae"  # of a first stage
TAKEN = ("channels", "multipliers", "res_blocks", "latent_channels", "encoder_attention", "decoder_attention")


class Components(Strict):
    """A first stage in closed form: principal components of patches of the training images."""

    patch: int = Field(gt=0, description="side of a patch, in pixels")
    components: int = Field(gt=0, description="numbers kept of each, which are a latent's values")


def named(recipe: ResolvedRecipe, scale: GeneralScale) -> str | None:
    """The recipe in whose latents a tokenizer draws at a scale; None if in none."""
    name = getattr(recipe.typed, "latents_of", None)
    if name is None or getattr(getattr(scale.systems, recipe.typed.system), "first_stage", None) is not None:
        return None
    return name


def describe(spec: Spec, recipe: ResolvedRecipe, stage: ResolvedRecipe, its: Spec) -> None:
    """Fill `model.first_stage` of a tokenizer's spec; ConfigError for one in whose latents it cannot draw."""
    file, key = recipe.where("latents_of")
    if stage.typed.system != SYSTEM:
        problem = f"{recipe.name} draws in the latents of a {SYSTEM}, and {stage.name} is a {stage.typed.system}"
        raise ConfigError(file, key, problem, f"name a tokenizer recipe of the system {SYSTEM}")
    ours, theirs = spec.values["model"], its.values["model"]
    if ours["image_size"] != theirs["image_size"]:
        problem = f"{recipe.name} reads images of {ours['image_size']} pixels, {stage.name} of {theirs['image_size']}"
        raise ConfigError(file, key, problem, "give both the same image_size, or name another first stage")
    side = 2 ** (len(theirs["multipliers"]) - 1) * ours["decoder_patch"]
    if ours["image_size"] % side:
        problem = f"{ours['image_size']} pixels are no multiple of the {side} of a patch of {stage.name}'s latents"
        raise ConfigError(file, key, problem, "choose another decoder_patch, or name another first stage")
    for part in TAKEN:
        spec.set(f"model.first_stage.{part}", theirs[part], its.origins[f"model.{part}"])
