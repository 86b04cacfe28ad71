"""Settings of kl_vae and va_vae: how the papers' networks shrink, and how many tokens they make."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import TypeAdapter, ValidationError

from tesserae.config.errors import ConfigError
from tesserae.config.resolve import Context, ResolvedRecipe, Sourced, Spec, Tokens
from tesserae.config.systems import kl_vae, va_vae

TRAINING = {
    "epochs": 50,
    "batch": 256,
    "lr": 1e-4,
    "warmup_epochs": 0,
    "decay": "constant",
    "betas": [0.5, 0.9],
    "weight_decay": 0,
    "clip": None,
    "ema": 0,
    "precision": "fp32",
    "seed": 1,
}
MAR_VAE = {
    "system": "kl_vae",
    "dataset": "imagenet",
    "image_size": 256,
    "network": {"channels": 128, "multipliers": [1, 1, 2, 2, 4], "res_blocks": 2},
    "latent_channels": 16,
    "encoder_attention": True,
    "decoder_attention": False,
    "perceptual": "lpips",
    "loss_weights": {"reconstruction": 1, "perceptual": 1, "kl": 1e-6, "gan": 0.5},
    "adaptive_gan": True,
    "gan_start_epoch": 10,
    "discriminator": {"channels": 64, "layers": 3},
    "training": TRAINING,
}
SD_VAE = MAR_VAE | {
    "network": {"channels": 128, "multipliers": [1, 2, 4, 4], "res_blocks": 2},
    "latent_channels": 4,
    "latent_patch": 2,
    "encoder_attention": False,
}
VA_VAE = MAR_VAE | {
    "system": "va_vae",
    "latent_channels": 32,
    "decoder_attention": True,
    "foundation": "dinov2",
    "alignment": {"weight": 0.1, "cosine_margin": 0.5, "distance_margin": 0.25},
}
SMALL = {
    "networks": {
        16: {"channels": 16, "multipliers": [1, 1, 2], "res_blocks": 1},
        8: {"channels": 16, "multipliers": [1, 2], "res_blocks": 1},
    },
    "perceptual": "none",
}


def leaves(nested, prefix=""):
    for key, value in nested.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", Sourced(value, "paper")


def described(module, recipe, scaled=None, image_size=None):
    typed = TypeAdapter(module.Recipe).validate_python(recipe)
    read = ResolvedRecipe("r", typed, dict(leaves(typed.model_dump())), Path("paper.yaml"), "tokenizers")
    systems = SimpleNamespace(kl_vae=kl_vae.Scaled(), va_vae=va_vae.Scaled())
    setattr(systems, recipe["system"], module.Scaled(**(scaled or {})))
    maps = {"image_size": image_size or {}, "latent_channels": {16: 8, 32: 8, 4: 2} if scaled else {}}
    scale = SimpleNamespace(systems=systems, **maps)
    spec = Spec()
    module.describe(spec, read, Context(scale, Path("scale.yaml"), {}, Path("datasets.yaml")))
    return spec


@pytest.mark.parametrize(
    ("module", "recipe", "width"), [(kl_vae, MAR_VAE, 16), (kl_vae, SD_VAE, 16), (va_vae, VA_VAE, 32)]
)
def test_published_networks_make_256_tokens(module, recipe, width):
    spec = described(module, recipe)
    assert module.tokens(spec.values["model"]) == Tokens(256, width, "grid")
    assert spec.values["model"]["channels"] == 128


@pytest.mark.parametrize(("module", "recipe"), [(kl_vae, MAR_VAE), (kl_vae, SD_VAE), (va_vae, VA_VAE)])
def test_networks_shrink_by_the_pixels_of_a_latent(module, recipe):
    spec = described(module, recipe, SMALL, {256: 32})
    assert module.tokens(spec.values["model"]) == Tokens(64, 8, "grid")
    assert spec.values["model"]["multipliers"] == ([1, 2] if recipe is SD_VAE else [1, 1, 2])
    assert spec.values["model"]["perceptual"] == "none"
    assert "scale.yaml: systems" in spec.origins["model.channels"] and "128" in spec.origins["model.channels"]


@pytest.mark.parametrize(("module", "recipe"), [(kl_vae, MAR_VAE), (kl_vae, SD_VAE), (va_vae, VA_VAE)])
def test_the_spec_builds_the_model(module, recipe):
    from importlib import import_module

    scaled = SMALL | ({"foundation": "embedded"} if module is va_vae else {})
    spec = described(module, recipe, scaled, {256: 32})
    spec.set("model.gan_start_step", 3)  # what config/spec.py adds, with the discriminator
    spec.set("model.discriminator", recipe["discriminator"])
    model = import_module(f"tesserae.tokenizers.{recipe['system']}").build(spec.values["model"])
    assert (model.tokens, model.latent_channels) == module.tokens(spec.values["model"])[:2]


@pytest.mark.parametrize(("module", "recipe"), [(kl_vae, MAR_VAE), (va_vae, VA_VAE)])
def test_a_scale_may_weigh_the_perceptual_loss(module, recipe):
    scaled = SMALL | {"perceptual": "lite2", "loss_weights": {"perceptual": 0.1}}
    spec = described(module, recipe, scaled, {256: 32})
    weights = spec.values["model"]["loss_weights"]
    assert weights == recipe["loss_weights"] | {"perceptual": 0.1}
    assert spec.origins["model.loss_weights.perceptual"].startswith("scale.yaml: systems.")
    with pytest.raises(ValidationError, match=r"loss_weights\.kl"):
        module.Scaled(loss_weights={"kl": 1.0})


def test_sides_that_do_not_fit_are_explained():
    with pytest.raises(ConfigError, match="24 is not divisible by the 16 pixels"):
        described(kl_vae, MAR_VAE, None, {256: 24})
