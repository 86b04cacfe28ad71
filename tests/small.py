"""Settings of l-DeTok as small as tests can use them."""

from typing import Any

DETOK: dict[str, Any] = {
    "image_size": 32,
    "patch_size": 4,
    "latent_channels": 8,
    "encoder": {"width": 32, "blocks": 2, "heads": 2},
    "decoder": {"width": 48, "blocks": 1, "heads": 3},
    "noise": "interpolative",
    "gamma": 3.0,
    "mask_ratio": 0.7,
    "mask_mode": "random",
    "perceptual": "none",
    "loss_weights": {"mse": 1.0, "perceptual": 1.0, "kl": 1e-6, "gan": 0.1},
    "gan_start_step": None,
    "discriminator": {"channels": 8, "layers": 2},
}
# 16 tokens of 4 values; its discriminator begins while even the shortest training goes on.
SMALLER: dict[str, Any] = DETOK | {
    "image_size": 16,
    "latent_channels": 4,
    "encoder": {"width": 16, "blocks": 1, "heads": 2},
    "decoder": {"width": 16, "blocks": 1, "heads": 2},
    "gan_start_step": 3,
}
