"""Parameters of networks, counted on the meta device: those that the paper prints."""

import json

import pytest

from tesserae.lineage import fingerprint
from tesserae.stages import sizes
from tests.stages.works import work

SMALL, BASE = {"width": 512, "blocks": 8, "heads": 8}, {"width": 768, "blocks": 12, "heads": 12}


def detok(encoder: dict, decoder: dict) -> dict:
    return {
        **{"image_size": 256, "patch_size": 16, "latent_channels": 16, "encoder": encoder, "decoder": decoder},
        **{"noise": "interpolative", "gamma": 0.0, "mask_ratio": 0.0, "mask_mode": "random", "perceptual": "none"},
        "loss_weights": {"mse": 1.0, "perceptual": 1.0, "kl": 1e-6, "gan": 0.1},
        **{"gan_start_step": 1, "discriminator": {"channels": 64, "layers": 3}},
    }


@pytest.mark.parametrize(
    ("model", "published", "half"),
    [
        (detok(SMALL, SMALL), {"decoder_parameters": 25.75, "hidden_size": 512, "blocks": 8, "heads": 8}, 25.75),
        (detok(BASE, BASE), {"parameters": 171.7, "decoder_parameters": 85.85, "hidden_size": 768}, 85.86),
        (detok(SMALL, BASE), {"parameters": 111.6, "decoder_parameters": 85.85}, 25.75),
    ],
)
def test_tokenizers_have_the_sizes_of_table_a1(model, published, half):
    found = sizes.sizes("tesserae.tokenizers.detok", model)
    for name, value in published.items():
        assert round(found[name], 1 if name == "parameters" else 2) == value, name
    assert round(found["encoder_parameters"], 2) == half
    assert found["parameters"] == pytest.approx(found["encoder_parameters"] + found["decoder_parameters"])
    assert ("hidden_size" in found) == (model["encoder"] == model["decoder"])


def test_a_table_of_fixed_positions_is_not_counted(tmp_path):
    model = {"token_length": 256, "token_width": 16, "layout": "grid", "classes": 1000, "label_dropout": 0.1} | BASE
    sizes.run(work("sizes", tmp_path, {"module": "tesserae.generators.sit", "model": model, "frozen": 500_000}))
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert written["values"] == {
        "parameters": 130.303504,
        "with_frozen": 130.803504,
        "hidden_size": 768,
        "blocks": 12,
        "heads": 12,
    }
    assert written["measure_id"] == fingerprint.digest(written["measure"])


def test_a_transformer_that_is_all_of_a_network_has_the_proportions_of_table_5():
    model = {
        **{"image_size": 256, "first_stage": "sd_vae_mse", "posterior": "sample", "patch_size": 2},
        **{"transformer": BASE, "message_tokens": 256, "codebook_size": 64000, "levels": [8, 8, 8, 5, 5, 5]},
        **{
            "crop": 96,
            "mask": "causal",
            "predicts": "velocity",
            "gate_start": 0.0,
            "representation_layer": 4,
            "projector_width": 768,
        },
        "looks": {
            **{"rate": 1.0, "spread": 0.5, "most": 9, "uniform": False},
            **{"whole_probability": 0.55, "unconditional_probability": 0.18},
        },
        **{"times": {"mean": -0.5, "std": 1.0}, "perceptual": "none"},
        "loss_weights": {"srepa": 0.5, "repa": 0.5, "perceptual": 0.0, "spread": 0.0},
        **{"policy": {"order": "global", "crops": 1, "whole": True}, "teacher": "dinov2_vitb14"},
        "sampling": {
            **{"steps": 10, "guidance": 7.5, "solver": "euler"},
            "projection": {"momentum": -0.5, "norm_limit": 2.5, "parallel": 0.0},
        },
    }
    found = sizes.sizes("tesserae.tokenizers.comit", model)
    unused = 1538 + 768  # a head that no loss reaches, and a spare position
    assert found["parameters"] == pytest.approx(173.647896 - unused / 1e6)  # printed 174; without the projectors
    wanted = {"hidden_size": 768, "blocks": 12, "heads": 12, "mlp_ratio": 4}
    assert wanted | {"projector_layers": 3, "projector_width": 768} == {
        k: v for k, v in found.items() if k != "parameters"
    }
