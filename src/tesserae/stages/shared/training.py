"""A training as the stages `tokenizer`, `generator` and `sae` run it: one network, batches of one set of samples."""

import importlib
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from tesserae.lineage.work import Work
from tesserae.nn.first_weights import start_narrow
from tesserae.training import weights
from tesserae.training.first_draws import build_alike
from tesserae.training.loop import Trained, train
from tesserae.training.order import Order
from tesserae.training.processes import make_fabric

# (samples int64 (B,), rng on the device of the training) -> a batch, as the network's `losses` reads it
BatchOf = Callable[[np.ndarray, torch.Generator], dict[str, Tensor]]


def new_network(work: Work) -> nn.Module:
    """The network of a job's spec, with first weights of its seed: alike where other recipes' have the same part."""

    def make() -> nn.Module:
        model = importlib.import_module(work.spec["module"]).build(work.spec["model"])
        if work.spec["training"].get("first_weights") == "narrow":
            start_narrow(model)
        return model

    return build_alike(make, work.spec["training"]["seed"])


def run_training(work: Work, model: nn.Module, samples: np.ndarray, batch_of: BatchOf) -> Trained:
    """Train `model` as the job's spec says, on `samples`, int64 (M,): their numbers, which `batch_of` turns to batches.

    Writes weights.safetensors (averaged weights of what is used) and curves.jsonl, and leaves `model` on its device
    with the last weights. Of several processes all but the first write nothing and get no numbers.
    """
    spec, training = work.spec, work.spec["training"]
    fabric = make_fabric(training["precision"], work.device)
    order = Order(len(samples), training["batch"], training["seed"], training["microbatches"])

    def source(step: int, microbatch: int, rng: torch.Generator) -> dict[str, Tensor]:
        chosen = samples[order(step, microbatch)]
        return {"ids": torch.from_numpy(chosen), **batch_of(chosen, rng)}

    trained = train(
        model,
        source,
        training,
        fabric=fabric,
        state=work.state,
        identity=work.identity,
        curves=work.out / "curves.jsonl",
        title=work.title,
    )
    if fabric.is_global_zero:
        kept = weights.used(model, trained.weights)
        weights.save(work.out / "weights.safetensors", kept, spec["module"], spec["model"])
    return trained
