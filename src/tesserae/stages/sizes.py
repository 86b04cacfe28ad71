"""Stage `sizes`: how many parameters a network has, counted without building it (the paper's Tables A.1 and 3)."""

import importlib
from typing import Any

import torch
from torch import nn

from tesserae.lineage.measures.counted import Counted
from tesserae.lineage.work import Work
from tesserae.stages.shared.numbers import write_numbers
from tesserae.training import weights

MEASURE = Counted(counted="parameters in millions, counted on networks of the paper's sizes, whatever the scale")
NAMES = {"hidden_size": "width", "blocks": "blocks", "heads": "heads", "tokens": "latent_tokens"}


def run(work: Work) -> dict[str, float]:
    """Writes metrics.json: parameters in millions, hidden size, blocks and heads, and so on; `sizes` says of what.

    `with_frozen` adds what is used and not trained, such as a text encoder: the spec's `frozen` says how much.
    The spec's module and model are those of the paper at every scale.
    """
    values = sizes(work.spec["module"], work.spec["model"])
    values["with_frozen"] = values["parameters"] + work.spec["frozen"] / 1e6
    return write_numbers(work, values, MEASURE)


def sizes(module: str, model: dict[str, Any]) -> dict[str, float]:
    """The numbers of one network; nothing is allocated.

    Counted is what is trained and kept: neither fixed tables of positions nor a discriminator and its like. A network
    with an encoder and a decoder also has their parameters separately, and the size of both if they are alike. One
    that is a single `transformer` has its size and `mlp_ratio`, how many times as wide feed-forward layers are; with a
    projector to a teacher's features also `projector_layers`, and `projector_width` of the hidden ones.
    """
    with torch.device("meta"):
        network = importlib.import_module(module).build(model)
    trained = {name: tensor for name, tensor in network.named_parameters() if tensor.requires_grad}
    counts = {name: tensor.numel() for name, tensor in weights.used(network, trained).items()}
    values = {"parameters": sum(counts.values()) / 1e6}
    described = model.get("transformer", model)
    if "transformer" in model:
        values |= _proportions(dict(network.named_modules()))
    if {"encoder", "decoder"} <= model.keys():
        described = model["encoder"] if model["encoder"] == model["decoder"] else {}
        for half in ("encoder", "decoder"):
            own = [count for name, count in counts.items() if name.startswith(f"{half}.")]
            values[f"{half}_parameters"] = sum(own) / 1e6
    return values | {name: float(described[key]) for name, key in NAMES.items() if key in described}


def _proportions(modules: dict[str, nn.Module]) -> dict[str, float]:
    """What tables print of a transformer and of its projector besides, by the names of its modules."""
    first = next(module for name, module in modules.items() if name.endswith("blocks.0.mlp.fc1"))
    found = {"mlp_ratio": first.out_features / first.in_features}
    if "srepa" in modules:
        layers = [module for module in modules["srepa"] if isinstance(module, nn.Linear)]
        found |= {"projector_layers": float(len(layers)), "projector_width": float(layers[0].out_features)}
    return found


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("sizes")
