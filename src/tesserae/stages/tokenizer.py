"""Stage `tokenizer`: train one tokenizer on a cached data set, or take its published weights."""

import importlib

import torch

from tesserae.data.cache import open_cache
from tesserae.data.ragged import open_ragged
from tesserae.data.transforms import random_flip
from tesserae.lineage.work import Work
from tesserae.stages.shared.common import float_images
from tesserae.stages.shared.official import take_official
from tesserae.stages.shared.side_inputs import open_prompts
from tesserae.training import weights
from tesserae.training.loop import train
from tesserae.training.order import Order
from tesserae.training.processes import make_fabric


def run(work: Work) -> dict[str, float]:
    """Writes weights.safetensors (averaged weights of what is used) and curves.jsonl (empty for published weights).

    With the inputs `prompts` and `concepts` a batch also has the features of each image's prompt, "text" (B, T, W), and
    the concepts in it, "concepts" int64 (B, K), filled up with -1. With an input `start`, training goes on from its
    averaged weights, and the encoder stays as it is.
    """
    spec = work.spec
    if "official" in spec:
        return take_official(work)
    training = spec["training"]
    data = open_cache(work.inputs["dataset"], "train")
    torch.manual_seed(training["seed"])  # initialisation
    model = importlib.import_module(spec["module"]).build(spec["model"])
    if "start" in work.inputs:
        # DECISION: from averaged weights, encoder and decoder alike, so that latents and their statistics stay those of
        # the tokenizer it starts from (the official code starts from the raw ones).
        weights.load_into(model, work.inputs["start"] / "weights.safetensors")
        model.freeze_encoder()
    fabric = make_fabric(training["precision"], work.device)
    prompts = open_prompts(work)
    concepts = open_ragged(work.inputs["concepts"], "train") if "concepts" in work.inputs else None
    order = Order(len(data.images), training["batch"], training["seed"], training["shares"])

    def source(step: int, share: int, rng: torch.Generator) -> dict[str, torch.Tensor]:
        chosen = order(step, share)
        images = float_images(data.images[chosen], fabric.device)  # bytes travel, floats are made there
        labels = torch.from_numpy(data.labels[chosen])
        flipped, mirrored = random_flip(images, rng)
        batch = {"ids": torch.from_numpy(chosen), "images": flipped, "labels": labels}
        if prompts is not None:
            batch["text"] = prompts.of(labels)
        if concepts is not None:  # of the very picture that the tokenizer sees: rows M... are of mirrored images
            rows = chosen + len(data.images) * mirrored.cpu().numpy()
            batch["concepts"] = torch.from_numpy(concepts.rows(rows, width=spec["concept_set"], fill=-1))
        return batch

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
    return trained.numbers


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("tokenizer")
