"""Settings of tokenizers as small as tests can use them."""

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

# TaTok, 16 patches and 3 global tokens
TATOK_FILTERING: dict[str, Any] = {
    "length": "epsilon",
    "epsilon": 0.3,
    "budget": None,
    "threshold": 0.0,
    "order": "score",
    "complexity": "patch_rate",
    "straight_through": False,
    "settling_images": 40,
}
TATOK: dict[str, Any] = {
    "image_size": 16,
    "patch_size": 4,
    "global_tokens": 3,
    "codebook_size": 24,
    "patch_code_width": 4,
    "global_code_width": 6,
    "encoder": {"width": 16, "blocks": 2, "heads": 2},
    "decoder": {"width": 16, "blocks": 1, "heads": 2},
    "substrate": "vit",
    "network": None,
    "layout": "grid",
    "filtering": TATOK_FILTERING,
    "global_target": "thumbnail",
    "thumbnail": 2,
    "commitment": 0.25,
    "losses": "hita_gan",
    "perceptual": "none",
    "loss_weights": {"reconstruction": 1.0, "commitment": 1.0, "glob": 1.0, "perceptual": 1.0, "gan": 0.5},
    "gan_start_step": None,
    "discriminator": None,
}

# Hita, 16 patches and 5 holistic tokens
HITA: dict[str, Any] = {
    "image_size": 16,
    "network": {"channels": 4, "multipliers": [1, 1, 2], "res_blocks": 1},
    "holistic_tokens": 5,
    "shift": 2,
    "codebook_size": 24,
    "patch_code_width": 4,
    "holistic_code_width": 6,
    "encoder": {"width": 16, "blocks": 1, "heads": 2},
    "decoder": {"width": 16, "blocks": 2, "heads": 2},
    "foundation": "lite2",
    "dropout": 0.0,
    "commitment": 0.25,
    "perceptual": "none",
    "loss_weights": {"reconstruction": 2.0, "perceptual": 1.0, "quantizer": 1.0, "gan": 0.5},
    "gan_start_step": None,
    "discriminator": {"channels": 8, "layers": 1},
}

# LlamaGen's tokenizer and MaskGIT's, 8 x 8 codes
LLAMAGEN_VQ: dict[str, Any] = {
    "image_size": 16,
    "channels": 8,
    "multipliers": [1, 2],
    "res_blocks": 1,
    "latent_channels": 6,
    "codebook_size": 32,
    "code_width": 4,
    "commitment": 0.25,
    "entropy_ratio": 0.0,
    "perceptual": "none",
    "loss_weights": {"reconstruction": 1.0, "perceptual": 1.0, "quantizer": 1.0, "gan": 0.5},
    "adaptive_gan": False,
    "gan_start_step": None,
    "discriminator": {"channels": 8, "layers": 1},
}
MASKGIT_VQGAN: dict[str, Any] = {
    "image_size": 16,
    "channels": 8,
    "multipliers": [1, 2],
    "res_blocks": 1,
    "codebook_size": 32,
    "code_width": 4,
    "perceptual": "none",
    "loss_weights": {
        "reconstruction": 1.0,
        "perceptual": 0.1,
        "codebook": 1.0,
        "commitment": 0.25,
        "entropy": 0.1,
        "gan": 0.1,
        "r1": 10.0,
    },
    "gan_start_step": None,
    "discriminator": {"channels": 8, "layers": 1},
}

# TiTok and SFTok in their last stage, 6 tokens and 16 codes of the proxy
TITOK: dict[str, Any] = {
    "image_size": 16,
    "patch_size": 4,
    "latent_tokens": 6,
    "codebook_size": 24,
    "code_width": 5,
    "encoder": {"width": 32, "blocks": 2, "heads": 2},
    "decoder": {"width": 48, "blocks": 1, "heads": 3},
    "proxy": {"channels": 8, "multipliers": [1, 1, 2], "res_blocks": 1, "codebook_size": 20, "code_width": 7},
    "learns": "pixels",
    "commitment": 0.25,
    "perceptual": "none",
    "loss_weights": {
        "codes": 1.0,
        "quantizer": 1.0,
        "reconstruction": 1.0,
        "perceptual": 0.1,
        "gan": 0.01,
        "lecam": 0.001,
    },
    "gan_start_step": None,
    "discriminator": {"channels": 8, "layers": 2},
}
SFTOK: dict[str, Any] = TITOK | {
    "replaced": 1.0,
    "unmasked_weight": 0.1,
    "steps": 4,
    "choice_temperature": 1.0,
    "loss_weights": TITOK["loss_weights"] | {"perceptual": 1.0},
}

# Baselines of COMiT's Table 4, 16 patches and 8 tokens
FLOW: dict[str, Any] = {
    "steps": 3,
    "guidance": 1.0,
    "projection": {"momentum": 0.0, "norm_limit": 0.0, "parallel": 1.0},
    "null_probability": 0.25,
    "predicts": "velocity",
    "gate_start": 0.0,
}
FLEXTOK_LIKE: dict[str, Any] = {
    "image_size": 16,
    "patch_size": 4,
    "latent_tokens": 8,
    "levels": [5, 4, 3],
    "kept_law": "next_power",
    "mode_scale": 0.25,
    "representation": 0.0,
    "teacher": None,
    "aligned_block": 0,
    "projector_width": 12,
    "encoder": {"width": 16, "blocks": 2, "heads": 2},
    "decoder": {"width": 16, "blocks": 2, "heads": 2},
    "flow": FLOW,
}
SELFTOK_LIKE: dict[str, Any] = {
    "image_size": 16,
    "patch_size": 4,
    "latent_tokens": 8,
    "codebook_size": 24,
    "code_width": 4,
    "quantizer": 1.0,
    "commitment": 0.25,
    "stage_ends": [0.5, 1.0],
    "stage_counts": [2, 6],
    "encoder": {"width": 16, "blocks": 2, "heads": 2},
    "decoder": {"width": 16, "blocks": 1, "heads": 2},
    "flow": FLOW,
}
ALIT_LIKE: dict[str, Any] = {
    "image_size": 16,
    "patch_size": 4,
    "latent_tokens": 8,
    "new_tokens": 2,
    "codebook_size": 24,
    "code_width": 4,
    "encoder": {"width": 16, "blocks": 1, "heads": 2},
    "decoder": {"width": 16, "blocks": 1, "heads": 2},
    "pass_weights": [2.0, 1.5, 1.0, 1.0, 1.0],
    "quantizer": 1.0,
    "commitment": 0.25,
}

# COMiT, 16 patches of pixels, crops of 4 patches, messages of 5 codes
COMIT: dict[str, Any] = {
    "image_size": 32,
    "first_stage": "pixels",
    "posterior": "sample",
    "patch_size": 8,
    "transformer": {"width": 32, "blocks": 2, "heads": 2},
    "message_tokens": 5,
    "codebook_size": 1000,
    "levels": [8, 5, 5, 5],
    "crop": 16,
    "mask": "causal",
    "predicts": "velocity",
    "gate_start": 0.0,
    "representation_layer": 0,
    "projector_width": 16,
    "looks": {
        "rate": 1.0,
        "spread": 0.5,
        "most": 4,
        "uniform": False,
        "whole_probability": 0.55,
        "unconditional_probability": 0.18,
    },
    "times": {"mean": -0.5, "std": 1.0},
    "teacher": None,
    "perceptual": "none",
    "loss_weights": {"srepa": 0.0, "repa": 0.0, "perceptual": 0.0, "spread": 0.0},
    "policy": {"order": "global", "crops": 1, "whole": True},
    "sampling": {
        "steps": 3,
        "guidance": 2.0,
        "solver": "euler",
        "projection": {"momentum": -0.5, "norm_limit": 2.5, "parallel": 0.0},
    },
}
