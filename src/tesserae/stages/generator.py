"""Stage `generator`: train one generator on a token cache, or take its published weights."""

import importlib

import torch

from tesserae.lineage.work import Work
from tesserae.quantizers.gaussian import GaussianPosterior
from tesserae.stages.official import take_official
from tesserae.stages.token_parts import open_tokens, standardisation
from tesserae.training import weights
from tesserae.training.loop import train
from tesserae.training.order import Order
from tesserae.training.processes import make_fabric


def run(work: Work) -> dict[str, float]:
    """Writes weights.safetensors (averaged weights) and curves.jsonl (empty for published weights).

    Tokens are posterior samples of the image or its mirror image (p = 0.5), standardised by channel (l-DeTok A.2).
    """
    spec = work.spec
    if "official" in spec:
        return take_official(work)
    training = spec["training"]
    tokens = open_tokens(work.parts("tokens"))
    mean, std = standardisation(work.parts("tokens"))
    torch.manual_seed(training["seed"])  # initialisation
    model = importlib.import_module(spec["module"]).build(spec["model"])
    fabric = make_fabric(training["precision"], work.device)
    order = Order(len(tokens.labels), training["batch"], training["seed"], training["shares"])

    def source(step: int, share: int, rng: torch.Generator) -> dict[str, torch.Tensor]:
        chosen = order(step, share)
        mirrored = (torch.rand(len(chosen), generator=rng, device=rng.device) < 0.5).long().cpu().numpy()
        posterior = GaussianPosterior.from_moments(tokens.at(chosen, mirrored))
        drawn, labels = posterior.sample(rng), torch.from_numpy(tokens.labels[chosen])
        return {"ids": torch.from_numpy(chosen), "tokens": (drawn - mean) / std, "labels": labels}

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
        weights.save(work.out / "weights.safetensors", trained.weights, spec["module"], spec["model"])
    return trained.numbers


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("generator")
