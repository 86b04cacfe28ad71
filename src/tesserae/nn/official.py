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

AGAIN = "save its state dict alone under this name"


def read_official(path: Path) -> dict[str, Tensor]:
    """The tensors of a published file under its own names; ValueError if they cannot be read, with the remedy."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals([Namespace]):  # MAR's training saves its command line beside the weights
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, SafetensorError) as error:
        if found := re.search(r"GLOBAL (\S+)", str(error)):
            reason = f"holds a {found[1]}, which is not read: {AGAIN}"
        else:
            reason = "is damaged or no file of weights: download it again"
        raise ValueError(f"the file {reason}") from error
    # A training without averaging saves "model_ema": None; others keep a rate under "ema", a name under "model".
    held = [content[key] for key in CONTAINERS if isinstance(content, Mapping) and content.get(key) is not None]
    found = next((state for state in held if isinstance(state, Mapping) and state), content)
    if not isinstance(found, Mapping) or not any(isinstance(tensor, Tensor) for tensor in found.values()):
        raise ValueError(f"the file holds no tensors by their names, but a {type(found).__name__}: {AGAIN}")
    if odd := [name for name in found if not isinstance(name, str)]:
        raise ValueError(f"the file holds tensors under {odd[0]!r}, which is no name of a network's part: {AGAIN}")
    return dict(found)


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
    ValueError that lists missing and unexpected names, differing shapes and numbers that are none, before anything is
    copied.
    """
    found = {rename(name): (name, tensor) for name, tensor in state.items() if not name.startswith(dropped)}
    wanted = {name: t for name, t in model.state_dict().items() if not name.startswith(training_only)}
    fixed = {name for name, _ in model.named_buffers()}
    problems = [f"missing: {name}" for name in sorted(wanted.keys() - found.keys() - fixed)]
    problems += [f"unexpected: {found[name][0]}" for name in sorted(found.keys() - wanted.keys())]
    for name in sorted(wanted.keys() & found.keys()):
        called, tensor = found[name]
        if not isinstance(tensor, Tensor):
            problems.append(f"no tensor: {called}, but a {type(tensor).__name__}")
        elif tensor.shape != wanted[name].shape:
            ours = tuple(wanted[name].shape)
            problems.append(f"shape of {called}: {tuple(tensor.shape)} in the file, {ours} in the model")
        elif tensor.is_floating_point() and not torch.isfinite(tensor).all():
            problems.append(f"not finite: {called}")
    if problems:
        hint = _wrapped(set(found), set(wanted))
        raise ValueError(f"these weights do not fit the model{hint}:\n  " + "\n  ".join(problems))
    model.load_state_dict({name: tensor for name, (_, tensor) in found.items()}, strict=False)


def _wrapped(found: set[str], wanted: set[str]) -> str:
    """A hint if most names would fit without what a wrapper (`module.`, `_orig_mod.`) put before them; else empty."""
    for prefix in sorted({name.partition(".")[0] + "." for name in found if "." in name}):
        bare = {name.removeprefix(prefix) for name in found if name.startswith(prefix)}
        if 2 * len(bare & wanted) > len(wanted) and 2 * len(found & wanted) < len(wanted):
            return f" (names begin with {prefix!r}, of a wrapper: save them without it)"
    return ""
