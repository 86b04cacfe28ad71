"""Stage `task_network`: the fixed network of a domain's task, trained once on original images, or published.

CompTok, Table 2: what it reaches on originals is the row "Original Image".
"""

import importlib
import json
from typing import Any

import torch
from torch import nn

from tesserae.lineage.measures.task import Task
from tesserae.lineage.work import Work
from tesserae.stages.shared.common import pick_device
from tesserae.stages.shared.numbers import write_numbers
from tesserae.stages.shared.task_scoring import by_chance, loss_of, named, open_domain_split, said_of, values_of
from tesserae.task_networks import fit
from tesserae.training import weights


def run(work: Work) -> dict[str, float]:
    """Writes weights.safetensors, curves.jsonl (empty for a published network) and metrics.json.

    metrics.json, in percent of validation originals: `pixel_accuracy` and `miou`, or `dice`, or `exact_match` and
    `letters`, by the task; of the same name with `_chance`, what is right without looking. Validation images choose
    nothing. ValueError for published weights that do not fit.
    """
    spec, device, folder = work.spec, pick_device(work.device), work.inputs["domain"]
    train, val = (open_domain_split(folder, split) for split in ("train", "val"))
    model = spec["model"]
    if train.answers.task != "words":
        model = model | {"classes": len(train.answers.classes)}
    network = _built(work, model).to(device)
    losses: list[float] = []
    if spec["training"] is not None:
        settings = fit.Settings(**spec["training"])
        losses = fit.fit(
            network,
            len(train.images),
            lambda rows, rng: loss_of(network, train, rows, rng, settings.flips),
            settings,
            work.title,
        )
    network.eval()
    weights.save(work.out / "weights.safetensors", network.state_dict(), spec["module"], model)
    lines = [json.dumps({"step": step, "loss": loss}) for step, loss in enumerate(losses, 1)]
    (work.out / "curves.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    said = said_of(network, val.images, val.answers, spec["batch"], f"{work.title}: originals")
    values = values_of(said, val.answers)
    chance = values_of(by_chance(train.answers, val.answers), val.answers)
    values |= {f"{name}_chance": value for name, value in chance.items()}
    measure = Task(task_network=named(spec, folder.name), reference=f"{folder.name} val", samples=len(val.images))
    return write_numbers(work, values, measure)


def _built(work: Work, model: dict[str, Any]) -> nn.Module:
    """The network before its training, with what is published of it."""
    module = importlib.import_module(work.spec["module"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0 if work.spec["training"] is None else work.spec["training"]["seed"])
        network = module.build(model)
    if "official" in work.spec:
        try:
            module.load_official(network, module.read_official(work.weights))
        except ValueError as error:
            raise ValueError(f"{work.weights}: {error}") from None
    return network


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("task_network")
