"""Trained weights on disk: one safetensors file that also says which module builds the network, with what."""

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

_KEY = "tesserae"  # one key only: the order of several is random in the file, and bytes must not be


def save(file: Path, weights: dict[str, Tensor], module: str, model: dict[str, Any]) -> None:
    """Write `weights` with the module and the keywords that build their network."""
    header = json.dumps({"module": module, "model": model}, sort_keys=True)
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}, file, {_KEY: header})


def used(model: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`weights` without those of the parts that only training needs (the network's `TRAINING_ONLY` prefixes)."""
    left_out = getattr(model, "TRAINING_ONLY", ())
    return {name: tensor for name, tensor in weights.items() if not name.startswith(left_out)}


def load(file: Path) -> nn.Module:
    """The network in `file`, in eval mode on the CPU; ValueError if the file is not one of ours."""
    described = _described(file)
    model = importlib.import_module(described["module"]).build(described["model"])
    load_into(model, file)
    return model.eval().requires_grad_(False)


def load_into(model: nn.Module, file: Path, added: tuple[str, ...] = ()) -> None:
    """Copy the weights in `file` into a network; ValueError if they are not all that it uses.

    What starts with one of `added` may be missing in the file: it stays as it is.
    """
    weights, kept = load_file(file), set(used(model, model.state_dict()))
    if odd := {name for name in set(weights) ^ kept if name in weights or not name.startswith(added)}:
        module = _described(file)["module"]
        raise ValueError(f"{file} and {module} disagree on {sorted(odd)[:5]}; train again")
    model.load_state_dict(weights, strict=False)


def load_to_continue(model: nn.Module, file: Path) -> None:
    """As `load_into`, of a network that another one continues: the file may lack what that one adds (its `ADDED`)."""
    load_into(model, file, added=getattr(model, "ADDED", ()))


def _described(file: Path) -> dict[str, Any]:
    with safe_open(file, framework="pt") as opened:
        header = (opened.metadata() or {}).get(_KEY)
    if header is None:
        raise ValueError(f"{file} does not say which network it holds; make it with the tokenizer or generator stage")
    return json.loads(header)
