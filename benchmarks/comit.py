"""COMiT's messages and drawings: ours against the official code, same weights, batch and precision.

    python benchmarks/comit.py --official PATH/TO/comit [--size B|pocket] [--batch 2] [--rounds 3]

Encodes by one look at the whole image and by four crops, and draws with guidance in 10 steps. Both take turns and the
medians are compared; float32, CPU seconds, one thread. Both masks are measured: "causal" is what the paper says, for
which the official code has its slow path, and "additive_one" is what its fast path does (docs/weights.md). There is no
first stage: images of 256 pixels in patches of 16 make as many tokens as latents of 32 x 32 do in patches of 2.
The official code is imported as it is; it needs einops, hydra and huggingface_hub, or what stands in for them here.
"""

import argparse
import importlib
import importlib.util
import statistics
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from measuring import clock
from torch import Tensor, nn

from tesserae.tokenizers import comit
from tesserae.tokenizers.comit_looking import Policy

SIDE, PATCH, CROP = 256, 16, 96
SIZES: dict[str, dict[str, Any]] = {
    "B": {"width": 768, "blocks": 12, "heads": 12, "message": 256, "levels": [8, 8, 8, 5, 5, 5]},
    "pocket": {"width": 64, "blocks": 4, "heads": 4, "message": 16, "levels": [8, 5, 5, 5]},
}
STEPS, GUIDANCE, MOMENTUM = 10, 7.5, -0.5
WORKS = ("encode 1 look", "encode 4 crops", f"draw in {STEPS} steps")


def official(folder: Path, size: dict[str, Any]) -> nn.Module:
    """The official network with random weights, also where training starts at zero."""
    sys.path.insert(0, str(folder))
    if importlib.util.find_spec("hydra") is None:  # only reads configurations of published weights
        sys.modules["hydra"] = sys.modules["hydra.utils"] = mock.MagicMock()
    if importlib.util.find_spec("huggingface_hub") is None:
        sys.modules["huggingface_hub"] = types.SimpleNamespace(PyTorchModelHubMixin=object)
    model = importlib.import_module("comit.comit").COMiTBase
    network = importlib.import_module("comit.components.predictor.dit").RuledDiT
    quantizer = importlib.import_module("comit.components.quantizer.fsq").FSQ
    made = network(
        max_input_size=SIDE,
        patch_size=PATCH,
        in_channels=3,
        out_channels=3,
        hidden_size=size["width"],
        depth=size["blocks"],
        num_heads=size["heads"],
        num_msg_tokens=size["message"],
        msg_tokens_dim=len(size["levels"]),
        representation_layer=1,
    )
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name != "pos_embed":
                spread = parameter.shape[1] ** -0.5 if parameter.ndim == 2 else 0.3
                parameter.copy_(spread * torch.randn(parameter.shape, generator=rng))
    return model(made, quantizer(size["levels"])).eval()


def same_weights(theirs: nn.Module, size: dict[str, Any], mask: str) -> comit.COMiT:
    model = comit.build(
        {
            "image_size": SIDE,
            "first_stage": "pixels",
            "posterior": "mean",
            "patch_size": PATCH,
            "transformer": {key: size[key] for key in ("width", "blocks", "heads")},
            "message_tokens": size["message"],
            "codebook_size": theirs.quantizer.codebook_size,
            "levels": size["levels"],
            "crop": CROP,
            "mask": mask,
            "predicts": "velocity",
            "gate_start": 0.0,
            "representation_layer": 1,
            "projector_width": 768,
            "looks": {
                "rate": 1.0,
                "spread": 0.5,
                "most": 9,
                "uniform": False,
                "whole_probability": 0.5,
                "unconditional_probability": 0.1,
            },
            "times": {"mean": 0.0, "std": 1.0},
            "perceptual": "none",
            "loss_weights": {"srepa": 0.0, "repa": 0.0, "perceptual": 0.0, "spread": 0.0},
            "teacher": None,
            "policy": {"order": "global", "crops": 1, "whole": True},
            "sampling": {
                "steps": STEPS,
                "guidance": GUIDANCE,
                "solver": "euler",
                "projection": {"momentum": MOMENTUM, "norm_limit": 2.5, "parallel": 0.0},
            },
        }
    )
    model.load_state_dict(theirs.state_dict(), strict=False)
    return model.eval()


def works(theirs: nn.Module, ours: comit.COMiT, images: Tensor) -> list[tuple[Callable[[], Tensor], ...]]:
    """The same work by the official code and by ours, in the order of WORKS."""
    told = ours.told(images, Policy("global", 1, True))
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(1))

    def drawn() -> Tensor:
        with mock.patch.object(torch, "randn", lambda *_, **__: noise.clone()):
            settings = {"num_steps": STEPS, "odesolver": "euler", "cfg_weight": GUIDANCE, "apg_momentum": MOMENTUM}
            return theirs.detokenize(told.vectors, told.offsets, **settings)["generated"]

    def looked(whole: bool, crops: int) -> Callable[[], Tensor]:
        settings = {"global_crop": whole, "order": "raster_scan", "num_crops": crops}
        return lambda: theirs.tokenize(images, **settings)["msgs"]

    return [
        (looked(True, 1), lambda: ours.told(images, Policy("global", 1, True)).vectors),
        (looked(False, 4), lambda: ours.told(images, Policy("raster", 4, False)).vectors),
        (drawn, lambda: ours.drawn(told, steps=STEPS, guidance=GUIDANCE, noise=noise)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--official", type=Path, required=True)
    parser.add_argument("--size", choices=SIZES, default="B")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    size = SIZES[given.size]
    theirs = official(given.official, size)
    images = 2 * torch.rand(given.batch, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2)) - 1
    for mask in ("causal", "additive_one"):
        theirs.predictor.set_fused_attn(mask == "additive_one")
        ours = same_weights(theirs, size, mask)
        with torch.inference_mode():
            for name, pair in zip(WORKS, works(theirs, ours, images), strict=True):
                before, now = (work() for work in pair)  # the first round warms up
                difference = (before - now).abs().max().item()
                if difference > 1e-3:
                    sys.exit(f"{mask}, {name}: both should say the same, and differ by {difference:.1e}")
                times = [[clock(work) for work in pair] for _ in range(given.rounds)]
                slow, fast = (statistics.median(some) for some in zip(*times, strict=True))
                print(
                    f"{given.size}, batch {given.batch}, {mask}, {name}: official {slow:.2f} s, ours {fast:.2f} s, "
                    f"{slow / fast:.2f} times faster; largest difference {difference:.1e}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
