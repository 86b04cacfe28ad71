"""Official l-DeTok weights: one key map, and a loader that says what does not fit.

Files are checkpoints {"model": ..., "model_ema": ...} with more beside, or bare state dicts, as .pth or .safetensors.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from tesserae.tokenizers.detok import DeTok

RENAMES = (
    ("encoder.patch_embed.0.", "encoder.patch_embed."),
    ("decoder.ffn.1.", "decoder.head."),
    ("encoder.transformer.", "encoder.blocks."),
    ("decoder.transformer.", "decoder.blocks."),
)


def our_name(official: str) -> str:
    """The name of an official tensor in DeTok. Names without an entry in RENAMES are the same in both."""
    for theirs, ours in RENAMES:
        if official.startswith(theirs):
            return ours + official.removeprefix(theirs)
    return official


def read_official(path: Path) -> dict[str, Tensor]:
    """The tensors of an official file under official names: of its `model_ema`, else its `model`, else of the file."""
    if path.suffix == ".safetensors":
        return load_file(path)
    content = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("model_ema", "model"):
        if key in content:
            return dict(content[key])
    return dict(content)


def load_official(model: DeTok, state: Mapping[str, Tensor]) -> None:
    """Copy official tensors into encoder and decoder.

    Raises ValueError that lists missing and unexpected names and differing shapes, before anything is copied.
    """
    found = {our_name(name): tensor for name, tensor in state.items()}
    wanted = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("discriminator.")}
    problems = [f"missing: {name}" for name in sorted(wanted.keys() - found.keys())]
    problems += [f"unexpected: {name}" for name in sorted(state) if our_name(name) not in wanted]
    problems += [
        f"shape of {name}: {tuple(found[name].shape)} in the file, {tuple(wanted[name].shape)} in the model"
        for name in sorted(wanted.keys() & found.keys())
        if found[name].shape != wanted[name].shape
    ]
    if problems:
        raise ValueError("these weights do not fit the model:\n  " + "\n  ".join(problems))
    model.load_state_dict(found, strict=False)
