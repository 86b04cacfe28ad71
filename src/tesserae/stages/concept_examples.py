"""Stage `concept_examples`: images of a few concepts, by autoencoder and by tokenizer (ConceptTok, Figs. 3 and 5)."""

import numpy as np
import torch
from torch import nn

from tesserae.data.cache import open_cache
from tesserae.data.floats import float_images
from tesserae.data.ragged import open_ragged
from tesserae.lineage.work import Work
from tesserae.metrics.concepts import members, ranking, spread, within
from tesserae.stages.shared.common import pick_device
from tesserae.stages.shared.concept_scores import activations, grid, measure, open_sae, prompts_of, score, strongest
from tesserae.stages.shared.numbers import write_numbers
from tesserae.stages.shared.progress import slices
from tesserae.stages.shared.side_inputs import Prompts
from tesserae.stages.shared.tokenizers import names_concepts
from tesserae.training import weights


@torch.inference_mode()
def run(work: Work) -> dict[str, float]:
    """Writes examples.npz and metrics.json.

    examples.npz: of S concepts their number `concepts`, `names`, `frequency` and `firing` (`Scores`); of the I
    validation images in which each is strongest `images` (S, I, H, H, 3) uint8, `strength` (S, I) and `fires`
    (S, I, G, G), the patches in which it fires; and whether the tokenizer is `prompted`. If the tokenizer names
    concepts, also the I images with the largest logit of each: `found`, `logits`, and `has` (S, I), whether the set of
    the image has it.

    metrics.json: of up to `ranked` concepts with a `frequency` within limits (of validation images) the mean average
    precision and the precision at I of ranking the images by the tokenizer's logits, and the `chance` of both; none
    where the tokenizer names no concepts.
    """
    spec, sae = work.spec, open_sae(work)
    data, most = open_cache(work.inputs["dataset"], "val"), spec["images"]
    scores = score(work, sae, data)
    best = strongest(scores.strength, most)  # (S, I)
    model = weights.load(work.inputs["tokenizer"] / "weights.safetensors").to(pick_device(work.device))
    prompts, fires, values = prompts_of(work, model), [], {}
    for column, chosen in enumerate(best):
        active = activations(work, sae, data.images[chosen], scores.concepts[[column]])[..., 0] > 0  # (I, P)
        fires.append(active.unflatten(1, (grid(active.shape[1]), -1)).cpu().numpy())
    found = {
        "concepts": scores.concepts,
        "names": np.array(scores.names),
        "frequency": scores.frequency,
        "firing": scores.firing,
        "images": data.images[best],
        "strength": np.take_along_axis(scores.strength, best.T, axis=0).T,
        "fires": np.stack(fires),
        "prompted": np.array(prompts is not None),
    }
    if names_concepts(model):
        truth = open_ragged(work.inputs["concepts"], "val")
        counts = np.bincount(truth.values, minlength=len(sae.b_enc))
        ranked = spread(within(counts, len(data.images), spec["frequency"]), spec["ranked"])
        logits = _logits(work, model, prompts, np.concatenate([scores.concepts, ranked]))
        shown, others = np.split(logits, [len(scores.concepts)], axis=1)
        first = strongest(shown, most)  # (S, I)
        found |= {
            "found": data.images[first],
            "logits": np.take_along_axis(shown, first.T, axis=0).T,
            "has": np.take_along_axis(members(truth, scores.concepts), first.T, axis=0).T,
        }
        quality = ranking(others, members(truth, ranked), most)
        values = {
            "map": quality.average_precision,
            "precision": quality.precision,
            "chance": quality.chance,
            "ranked": float(len(ranked)),
        }
    np.savez(work.out / "examples.npz", **found)
    measured = measure(work, prompts, samples=len(data.images), frequency=spec["frequency"], first=most)
    return write_numbers(work, values, measured)


def _logits(work: Work, model: nn.Module, prompts: Prompts | None, concepts: np.ndarray) -> np.ndarray:
    """A tokenizer's logits of some concepts (S,) for the validation images: float32 (N, S)."""
    data, device = open_cache(work.inputs["dataset"], "val"), pick_device(work.device)
    labels, logits = torch.from_numpy(np.array(data.labels)), np.empty((len(data.labels), len(concepts)), np.float32)
    for some in slices(len(labels), work.spec["batch"], f"{work.title}: tokenizer"):
        text = None if prompts is None else prompts.of(labels[some]).to(device)
        given = model.concept_logits(float_images(data.images[some], device), text)
        logits[some] = given.float().cpu().numpy()[:, concepts]
    return logits


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("concept_examples")
