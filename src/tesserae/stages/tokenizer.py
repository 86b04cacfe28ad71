"""Stage `tokenizer`: train one tokenizer on a cached data set, or take its published weights."""

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from tesserae.contracts import check_tokenizer
from tesserae.controls.patches import fit_components
from tesserae.data.cache import open_cache
from tesserae.data.floats import float_images
from tesserae.data.ragged import open_ragged
from tesserae.data.transforms import random_flip
from tesserae.lineage.work import Work
from tesserae.stages.shared.official import take_official
from tesserae.stages.shared.side_inputs import open_prompts
from tesserae.stages.shared.teacher import open_teacher
from tesserae.stages.shared.token_shards import open_codes
from tesserae.stages.shared.training import new_network, run_training
from tesserae.training import weights

CALIBRATING = 256  # training images whose latents say how large latents are


def run(work: Work) -> dict[str, float]:
    """Writes weights.safetensors (averaged weights of what is used) and curves.jsonl (empty for published weights).

    With an input `first_stage` the network draws in the latents of that tokenizer, whose weights it takes.
    With the inputs `prompts` and `concepts` a batch also has the features of each image's prompt, "text" (B, T, W), and
    the concepts in it, "concepts" int64 (B, K), filled up with -1. With the inputs `proxy` and `codes` it has the codes
    of another tokenizer, "codes" int64 (B, N), whose decoder the network takes. With the input `teacher_features` it
    has what a frozen network says of the image: "teacher_pooled" (B, F) and "teacher_grid" (B, G * G, F). With an input
    `start`, training goes on from its averaged weights, and the encoder stays as it is; with an input `continued` all
    of the network goes on learning, and losses may have brought parts that the other one has not (its `ADDED`).
    """
    if "official" in work.spec:
        return take_official(work, check_tokenizer, lambda model: _take_first_stage(work, model))
    data = open_cache(work.inputs["dataset"], "train")
    model = new_network(work)
    check_tokenizer(model)
    _take_first_stage(work, model)
    codes = open_codes(shards) if (shards := work.shards("codes")) else None
    if codes is not None:
        model.take_proxy(load_file(work.inputs["proxy"] / "weights.safetensors"))
    if "start" in work.inputs:
        # DECISION: from averaged weights, encoder and decoder alike, so that latents and their statistics stay those of
        # the tokenizer it starts from (the official code starts from the raw ones).
        weights.load_into(model, work.inputs["start"] / "weights.safetensors")
        model.freeze_encoder()
    if "continued" in work.inputs:
        # DECISION: likewise from averaged weights; optimizers and schedules begin anew.
        weights.load_to_continue(model, work.inputs["continued"] / "weights.safetensors")
    prompts = open_prompts(work)
    teacher = open_teacher(shards, model.teacher_side) if (shards := work.shards("teacher_features")) else None
    concepts = open_ragged(work.inputs["concepts"], "train") if "concepts" in work.inputs else None

    def batch_of(chosen: np.ndarray, rng: torch.Generator) -> dict[str, torch.Tensor]:
        images = float_images(data.images[chosen], rng.device)  # bytes travel, floats are made there
        labels = torch.from_numpy(data.labels[chosen])
        flipped, mirrored = random_flip(images, rng)
        batch = {"images": flipped, "labels": labels}
        if prompts is not None:
            batch["text"] = prompts.of(labels)
        if codes is not None:
            batch["codes"] = codes.at(chosen, mirrored.long().cpu().numpy()).long()
        if teacher is not None:
            batch |= teacher.of(chosen, mirrored.long().cpu().numpy())
        if concepts is not None:  # of the very picture that the tokenizer sees: rows M... are of mirrored images
            rows = chosen + len(data.images) * mirrored.cpu().numpy()
            batch["concepts"] = torch.from_numpy(concepts.rows(rows, width=work.spec["concept_set"], fill=-1))
        return batch

    return run_training(work, model, np.arange(len(data.images)), batch_of).numbers


def _take_first_stage(work: Work, model: nn.Module) -> None:
    """Give a network the first stage in whose latents it draws, if it does (`DrawsInLatents`): one that was trained, or
    principal components of patches of the training images, which are computed here.
    """
    components = work.spec["model"].get("first_stage")
    if "first_stage" not in work.inputs and not isinstance(components, dict):
        return
    images = open_cache(work.inputs["dataset"], "train").images
    if "first_stage" in work.inputs:
        found = load_file(work.inputs["first_stage"] / "weights.safetensors")
    else:
        grid = images.shape[1] // components["patch"]
        fitted = fit_components(images, grid, components["components"])
        found = {"mean": fitted.mean, "basis": fitted.basis, "std": fitted.variances.sqrt()}
    model.take_first_stage(found, float_images(images[:CALIBRATING], torch.device("cpu")))


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("tokenizer")
