"""Published weights: reading a file of any of the usual kinds, and copying its tensors strictly into a network.

Files are checkpoints {"model": ..., "model_ema": ...} with more beside, {"state_dict": ...}, or bare state dicts, as
.pth, .pt, .ckpt, .bin or .safetensors. Pickles are read with `weights_only=True`: no code of theirs runs.
"""

import re
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

CONTAINERS = ("model_ema", "ema", "model", "state_dict")  # in this order: averaged weights are what papers evaluate


def read_official(path: Path) -> dict[str, Tensor]:
    """The tensors of a published file under its own names; ValueError if they cannot be read, with the remedy."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals([Namespace]):  # MAR's training saves its command line beside the weights
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, SafetensorError) as error:
        if found := re.search(r"GLOBAL (\S+)", str(error)):
            reason = f"holds a {found[1]}, which is not read: save its state dict alone under this name"
        else:
            reason = "is damaged or no file of weights: download it again"
        raise ValueError(f"the file {reason}") from error
    for key in CONTAINERS:
        if content.get(key):  # a training without averaging saves "model_ema": None
            return dict(content[key])
    return dict(content)


def load_official(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy tensors of the same names into a network; see `load_strictly`."""
    load_strictly(model, state)


def load_strictly(
    model: nn.Module,
    state: Mapping[str, Tensor],
    *,
    rename: Callable[[str], str] = lambda name: name,
    training_only: tuple[str, ...] = (),
    dropped: tuple[str, ...] = (),
) -> None:
    """Copy tensors into a network, each under the name that `rename` gives it.

    Left out are the network's parts whose names start with one of `training_only`, and the file's with one of
    `dropped`. Fixed tables (buffers) may be missing in the file: averaged weights hold parameters only. Raises
    ValueError that lists missing and unexpected names and differing shapes, before anything is copied.
    """
    found = {rename(name): (name, tensor) for name, tensor in state.items() if not name.startswith(dropped)}
    wanted = {name: t for name, t in model.state_dict().items() if not name.startswith(training_only)}
    fixed = {name for name, _ in model.named_buffers()}
    problems = [f"missing: {name}" for name in sorted(wanted.keys() - found.keys() - fixed)]
    problems += [f"unexpected: {found[name][0]}" for name in sorted(found.keys() - wanted.keys())]
    for name in sorted(wanted.keys() & found.keys()):
        theirs, ours = tuple(found[name][1].shape), tuple(wanted[name].shape)
        if theirs != ours:
            problems.append(f"shape of {found[name][0]}: {theirs} in the file, {ours} in the model")
    if problems:
        raise ValueError("these weights do not fit the model:\n  " + "\n  ".join(problems))
    model.load_state_dict({name: tensor for name, (_, tensor) in found.items()}, strict=False)
