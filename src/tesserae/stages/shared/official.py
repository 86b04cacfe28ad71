"""Published weights instead of a training: what the stages `tokenizer` and `generator` do with `source: official`."""

import importlib
from collections.abc import Callable

import torch
from torch import nn

from tesserae.lineage.work import Work
from tesserae.training import weights


def take_official(
    work: Work, check: Callable[[nn.Module], None], prepare: Callable[[nn.Module], None] = lambda model: None
) -> dict[str, int]:
    """Writes weights.safetensors from the published file, and an empty curves.jsonl: nothing was trained.

    `prepare` gives a network the parts that are not in the file.
    Raises what `check` does of a network that does not meet its contract; ValueError for a file that cannot be read,
    and one that lists every tensor that is missing, unexpected or of another shape. Nothing is written then.
    """
    spec = work.spec
    importer = importlib.import_module(spec["official"]["importer"])
    with torch.random.fork_rng(devices=[]):  # every tensor is overwritten
        model = importlib.import_module(spec["module"]).build(spec["model"])
    check(model)
    prepare(model)
    try:
        state = importer.read_official(work.weights)
        dropped = importer.load_official(model, state) or 0
    except ValueError as error:
        raise ValueError(f"{work.weights}: {error}") from None
    kept = weights.used(model, model.state_dict())
    weights.save(work.out / "weights.safetensors", kept, spec["module"], spec["model"])
    (work.out / "curves.jsonl").touch()
    return {"parameters": sum(p.numel() for p in model.parameters()), "tensors": len(state), "dropped": dropped}
