"""Published weights of COMiT (hub `cvg-unibe/comit-b`, `-l`, `-xl`): model.safetensors, and config.json beside it.

Names are ours. The file may also hold the first stage, which is frozen and read from its own file, and a table of
positions, which has to be the one that we compute. config.json says sizes in three groups (predictor, quantizer, vae);
the class paths in it are compared with those that are known, and nothing of it is ever imported.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tesserae.nn.official import load_strictly
from tesserae.nn.official import read_official as read_tensors
from tesserae.tokenizers.comit import COMiT

__all__ = ["load_official", "read_official"]

CONFIG = "config.json"
TABLE, TOLERANCE = "predictor.pos_embed", 1e-5
FIRST_STAGE = "vae."  # another network's, which is read from its own file
CLASSES = {"predictor": "RuledDiT", "quantizer": "FSQ", "vae": "SDAutoencoderKL"}  # last parts of class paths
MLP_RATIO = 4.0

# Keywords that the official class need not be given, and what it then takes.
DEFAULTS = {
    "patch_size": 2,
    "max_input_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "hidden_size": 1152,
    "depth": 28,
    "num_heads": 16,
    "mlp_ratio": 4.0,
    "num_msg_tokens": 16,
    "msg_tokens_dim": 64,
    "representation_layer": 8,
}


class Published(dict[str, Tensor]):
    """The tensors of a file, and what config.json beside it says."""

    config: Mapping[str, Any]


def read_official(path: Path) -> Published:
    """The tensors of a published file under their own names; ValueError for a damaged file or no config.json."""
    beside = path.with_name(CONFIG)
    if not beside.is_file():
        raise ValueError(f"beside it there is no {CONFIG}, which says what the network is: get both from the hub")
    try:
        config = json.loads(beside.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{beside} is no JSON ({error}): get it again from the hub") from None
    found = Published(read_tensors(path))
    found.config = config.get("config", config) if isinstance(config, dict) else {}
    return found


def load_official(model: COMiT, state: Mapping[str, Tensor]) -> int:
    """Copy published tensors into a tokenizer; returns how many of the first stage the file held besides.

    ValueError lists all that does not fit, of config.json first, before any tensor is copied.
    """
    if isinstance(state, Published) and (wrong := [*contradictions(model, state.config)]):
        raise ValueError(f"{CONFIG} contradicts the recipe:\n  " + "\n  ".join(wrong))
    table, ours = state.get(TABLE), model.predictor.pos_embed
    if table is not None and table.shape == ours.shape and not torch.allclose(table, ours, rtol=0, atol=TOLERANCE):
        raise ValueError(f"{TABLE} is not the table of sines and cosines that this network has")
    load_strictly(model, state, training_only=model.TRAINING_ONLY, dropped=(FIRST_STAGE,))
    return sum(name.startswith(FIRST_STAGE) for name in state)


def contradictions(model: COMiT, config: Mapping[str, Any]) -> Iterator[str]:
    """Where config.json says another network than the recipe: key, its value, ours."""
    network = model.predictor
    channels = network.channels
    blocks, heads = len(network.blocks), network.blocks[0].attn.heads
    ours: dict[str, dict[str, Any]] = {
        "predictor": {
            "patch_size": network.patch,
            "max_input_size": network.grid * network.patch,
            "in_channels": channels,
            "out_channels": channels,
            "hidden_size": network.pos_embed.shape[2],
            "depth": blocks,
            "num_heads": heads,
            "mlp_ratio": MLP_RATIO,
            "num_msg_tokens": network.message_tokens,
            "msg_tokens_dim": model.quantizer.width,
            "representation_layer": network.representation_layer,
        },
        "quantizer": {"levels": model.quantizer.levels.tolist()},
        "vae": {"model_type": model.first_stage.name.removeprefix("sd_vae_")},
    }
    for group, wanted in ours.items():
        said = config.get(group)
        if not isinstance(said, Mapping):
            yield f"{group}: missing"
            continue
        kind = str(said.get("_target_", CLASSES[group])).rsplit(".", 1)[-1]
        if kind != CLASSES[group]:
            yield f"{group}._target_: {kind!r} is not known; this is an importer of {CLASSES[group]}"
        for key, value in wanted.items():
            if key in said and said[key] != value:
                yield f"{group}.{key}: {said[key]!r}, and the recipe makes {value!r}"
            elif key not in said and key not in DEFAULTS:
                yield f"{group}.{key}: missing, and the recipe makes {value!r}"
            elif key not in said and value != DEFAULTS[key]:
                yield f"{group}.{key}: missing, which means {DEFAULTS[key]!r}, and the recipe makes {value!r}"
