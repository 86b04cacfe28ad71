"""FLOP and bytes against closed forms and against PyTorch's own counter, which knows no fused attention of a CPU."""

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tesserae.costs import networks
from tesserae.costs.flops import Flops
from tesserae.costs.memory import Live
from tesserae.nn.attention import Attention
from tests.small import SMALLER, TATOK

B, N, D, H = 3, 16, 32, 4
SIT = {
    "token_length": 16,
    "token_width": 4,
    "layout": "grid",
    "classes": 3,
    "width": 32,
    "blocks": 2,
    "heads": 2,
    "label_dropout": 0.1,
}
MAR = {
    "token_length": 16,
    "token_width": 4,
    "classes": 3,
    "width": 32,
    "encoder_blocks": 1,
    "decoder_blocks": 1,
    "heads": 2,
    "buffer_size": 4,
    "attention_dropout": 0.0,
    "projection_dropout": 0.0,
    "label_dropout": 0.1,
    "mask_ratio_min": 0.7,
    "mask_ratio_std": 0.25,
    "diffloss": {"blocks": 1, "width": 16, "batch_multiplier": 2, "steps": 50, "schedule": "cosine"},
}


def test_linear_layer():
    layer, x = nn.Linear(D, 5 * D), torch.randn(B, D, requires_grad=True)
    with Flops() as forward:
        y = layer(x)
    assert forward.found == {"bf16": 0.0, "fp32": 2 * B * D * 5 * D}
    with Flops() as backward:
        y.sum().backward()
    assert backward.found["fp32"] == 2 * forward.found["fp32"]  # of the weights, of the input


def test_precisions_are_kept_apart():
    layer, x = nn.Linear(D, D), torch.randn(B, D)
    with Flops() as counted, torch.autocast("cpu", torch.bfloat16):
        layer(x)
    assert counted.found == {"bf16": 2 * B * D * D, "fp32": 0.0}
    with pytest.raises(TypeError, match="float64"), Flops():
        layer.double()(x.double())


def test_attention_layer_without_data():
    with networks._counting("attention"), torch.no_grad():
        layer = networks._imagined(lambda: Attention(D, H))
        with networks.Measured(layer) as counted:
            layer(torch.empty(B, N, D))
    products = 2 * N * D * 3 * D + 2 * N * D * D  # queries, keys, values; projection
    assert counted.per(B)["fp32"] == products + 2 * 2 * N * N * D  # scores, weighted values


@pytest.mark.parametrize(("module", "model"), [("generators.sit", SIT), ("tokenizers.detok", SMALLER)])
def test_a_step_counts_what_pytorch_counts_of_a_real_one(module, model):
    """Without masking, which is quantile 0 of the tokenizer."""
    model = model | ({"mask_ratio": 0.0} if "mask_ratio" in model else {})
    counted = networks.training(f"tesserae.{module}", model, B, "fp32")
    network = __import__(f"tesserae.{module}", fromlist=["build"]).build(model).train()
    batch = {
        "tokens": torch.randn(B, 16, 4),
        "images": torch.rand(B, 3, 16, 16),
        "labels": torch.zeros(B, dtype=torch.int64),
    }
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        for _, terms in network.losses(batch, 10, torch.Generator().manual_seed(0)):
            sum(terms.values()).backward()
    ours = counted["flops"]["fp32"] + counted["adversarial"]["fp32"]
    # The fused backward pass of attention on a GPU computes the scores again: five products instead of four.
    blocks = model.get("blocks", 2)
    width = model.get("width", 16)
    again = blocks * 2 * 16 * 16 * width
    assert B * ours == pytest.approx(counter.get_total_flops() + B * again, rel=1e-6)


def test_masking_and_discriminator_change_the_work_as_they_should():
    counted = networks.training("tesserae.tokenizers.detok", SMALLER, B, "bf16")
    unmasked = networks.training("tesserae.tokenizers.detok", SMALLER | {"mask_ratio": 0.0}, B, "bf16")
    plain = networks.training("tesserae.tokenizers.detok", SMALLER | {"gan_start_step": None}, B, "bf16")
    assert counted["flops"]["bf16"] < unmasked["flops"]["bf16"]
    assert counted["flops"] == plain["flops"]
    assert counted["adversarial"]["fp32"] > 0 == plain["adversarial"]["fp32"] == counted["adversarial"]["bf16"]
    assert counted["weights"] == plain["weights"] < 4 * counted["trainable"]


@pytest.mark.parametrize("iterations", [4, 16, 40])
def test_sampling_of_mar_counts_every_iteration(iterations):
    from tesserae.generators import mar_sampler
    from tesserae.generators.mar import MAR as Network

    sampler = {"iterations": iterations, "diffusion_steps": 3}
    counted = networks.sampling(
        "tesserae.generators.mar", MAR, {"module": "tesserae.generators.mar_sampler", **sampler}, B
    )
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        mar_sampler.sample(
            Network(**MAR),
            torch.zeros(B, dtype=torch.int64),
            seeds=list(range(B)),
            guidance=1.0,
            guidance_schedule="constant",
            temperature=1.0,
            **sampler,
        )
    # Not per image: the embedding of the times, once; left out: conditions of more than one token an iteration.
    assert counted["flops"]["fp32"] == pytest.approx(counter.get_total_flops() / B, rel=0.05)


def test_live_bytes():
    with networks._counting("nothing"):
        with Live() as live:
            a = torch.empty(1000)
            b = a * 2
            del a
            c = b.view(10, 100)
            assert (live.live, live.peak) == (4000, 8000)
            del b, c
        assert live.live == 0


def test_what_cannot_be_counted_is_an_error():
    with pytest.raises(ValueError, match=r"dpm_sampler.*add it to SAMPLERS"):
        networks.sampling("tesserae.generators.sit", SIT, {"module": "tesserae.generators.dpm_sampler"}, 1)
    with pytest.raises(ValueError, match=r"clip.*cannot be counted"):
        networks.features("clip", 1)


def test_which_patches_are_kept_first_costs_nothing():
    kept = TATOK["filtering"] | {"length": "budget", "epsilon": None, "budget": 6.0}
    counted = [
        networks.training("tesserae.tokenizers.tatok", TATOK | {"filtering": kept | {"order": order}}, B, "fp32")
        for order in ("score", "random", "first")
    ]
    assert counted[0] == counted[1] == counted[2]
