"""Stage `concept_f1`: how far the concepts that a tokenizer names are those of the image (ConceptTok, Tab. 2)."""

import numpy as np
import torch
from torch import Tensor

from tesserae.data.cache import open_cache
from tesserae.data.floats import float_images
from tesserae.data.ragged import open_ragged
from tesserae.lineage.work import Work
from tesserae.metrics.concepts import class_prior, f1, prior
from tesserae.stages.shared.common import pick_device
from tesserae.stages.shared.concept_scores import measure, prompts_of
from tesserae.stages.shared.numbers import write_numbers
from tesserae.stages.shared.progress import slices
from tesserae.stages.shared.side_inputs import shuffled
from tesserae.stages.shared.tokenizers import names_concepts
from tesserae.training import weights


@torch.inference_mode()
def run(work: Work) -> dict[str, float]:
    """Writes metrics.json: mean F1 over the validation images, and what it is to be read against.

    f1: the K concepts with the largest logits against the image's own, at most K. prior and class_prior: the K
    commonest concepts of the training images, of all and of those of the image's class. If the tokenizer reads prompts
    also f1_shuffled (prompts of other images; `same_class` is the fraction of images for which that says the same) and
    f1_constant (a prompt that names no class). A tokenizer that names no concepts has the priors alone.
    """
    # DECISION (D28): with the prompt, as it was trained; the paper does not say.
    spec, device = work.spec, pick_device(work.device)
    data = open_cache(work.inputs["dataset"], "val")
    labels, most = torch.from_numpy(np.array(data.labels)), spec["concepts"]
    truth = open_ragged(work.inputs["concepts"], "val")
    model = weights.load(work.inputs["tokenizer"] / "weights.safetensors").to(device)
    prompts = prompts_of(work, model)

    def named(given: str, text: Tensor | None) -> float:
        """Mean F1 if image i reads row text[i] of the prompts."""
        predicted = np.empty((len(labels), most), np.int64)
        for some in slices(len(labels), spec["batch"], f"{work.title}: {given}"):
            read = None if text is None else prompts.features[text[some]].float().to(device)
            logits = model.concept_logits(float_images(data.images[some], device), read)  # (B, D)
            predicted[some] = logits.topk(most).indices.cpu().numpy()
        return f1(predicted, truth).mean().item()

    values = {}
    if names_concepts(model):
        values["f1"] = named("as trained", None if prompts is None else labels)
        if prompts is not None:
            others = shuffled(labels, spec["seed"])
            values["f1_shuffled"] = named("shuffled prompts", others)
            values["same_class"] = (others == labels).double().mean().item()
            values["f1_constant"] = named("constant prompt", torch.full_like(labels, -1))
    common = prior(np.load(work.inputs["concepts"] / "counts.npy"), most)
    of_class = class_prior(np.load(work.inputs["concepts"] / "class_counts.npy"), most)
    values["prior"] = f1(np.broadcast_to(common, (len(labels), most)), truth).mean().item()
    values["class_prior"] = f1(of_class[labels.numpy()], truth).mean().item()
    measured = measure(work, prompts, samples=len(labels), concepts=most)
    return write_numbers(work, values, measured)


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("concept_f1")
