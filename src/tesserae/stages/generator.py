"""Stage `generator`: train one generator on a token cache."""

import importlib

import numpy as np
import torch

from tesserae.lineage.work import Work
from tesserae.quantizers.gaussian import GaussianPosterior
from tesserae.training import weights
from tesserae.training.loop import make_fabric, train
from tesserae.training.order import Order


def run(work: Work) -> dict[str, float]:
    """Writes weights.safetensors (averaged weights) and curves.jsonl.

    Tokens are posterior samples of the image or its mirror image (p = 0.5), standardised by channel (l-DeTok A.2).
    """
    spec, training, folder = work.spec, work.spec["training"], work.inputs["tokens"]
    moments = np.load(folder / "moments.npy", mmap_mode="r")  # (M, 2, N, 2C)
    labels = np.load(folder / "labels.npy")
    statistics = np.load(folder / "statistics.npz")
    mean, std = torch.from_numpy(statistics["mean"]), torch.from_numpy(statistics["std"])
    torch.manual_seed(training["seed"])  # initialisation
    model = importlib.import_module(spec["module"]).build(spec["model"])
    fabric = make_fabric(training["precision"], work.device)
    order = Order(len(labels), training["batch"], training["seed"], rank=fabric.global_rank, world=fabric.world_size)

    def source(step: int, rng: torch.Generator) -> dict[str, torch.Tensor]:
        chosen = order(step)
        mirrored = (torch.rand(len(chosen), generator=rng, device=rng.device) < 0.5).long().cpu().numpy()
        posterior = GaussianPosterior.from_moments(torch.from_numpy(moments[chosen, mirrored]))
        return {"tokens": (posterior.sample(rng) - mean) / std, "labels": torch.from_numpy(labels[chosen])}

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
    weights.save(work.out / "weights.safetensors", trained.weights, spec["module"], spec["model"])
    return trained.numbers


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("generator")
