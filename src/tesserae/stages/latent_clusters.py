"""Stage `latent_clusters`: whether images of a concept lie together in a tokenizer's latents (ConceptTok, Fig. 4)."""

import numpy as np
import torch

from tesserae.data.cache import open_cache
from tesserae.data.floats import float_images
from tesserae.data.ragged import open_ragged
from tesserae.lineage.work import Work
from tesserae.metrics import clusters
from tesserae.metrics.concepts import members
from tesserae.stages.shared.common import pick_device
from tesserae.stages.shared.concept_scores import measure, open_sae, prompts_of, score, strongest
from tesserae.stages.shared.numbers import write_numbers
from tesserae.stages.shared.progress import slices
from tesserae.training import weights


@torch.inference_mode()
def run(work: Work) -> dict[str, float]:
    """Writes clusters.npz and metrics.json.

    clusters.npz: `points` (N, 2) of t-SNE, `labels` (N,) into `concepts` (S,) and `names` (S,), `classes` (N,), and
    whether the tokenizer is `prompted`. metrics.json: silhouette and k-NN purity by concept of the latents' first 50
    principal components, the purity's `chance`, and `same_class`, the mean fraction of a concept's points in its
    commonest class: what a tokenizer that reads the class is given.
    """
    spec, device = work.spec, pick_device(work.device)
    data = open_cache(work.inputs["dataset"], "val")
    scores = score(work, open_sae(work), data)
    having = members(open_ragged(work.inputs["concepts"], "val"), scores.concepts)
    images, labels = assign(scores.strength, having, spec["images"])
    classes = data.labels[images]
    model = weights.load(work.inputs["tokenizer"] / "weights.safetensors").to(device)
    prompts, features = prompts_of(work, model), []
    for some in slices(len(images), spec["batch"], f"{work.title}: tokenizer"):
        text = None if prompts is None else prompts.of(torch.from_numpy(classes[some])).to(device)
        latents = model.latents(float_images(data.images[images[some]], device), text)  # (B, N, D)
        features.append(latents.mean(dim=1).float().cpu().numpy())
    reduced = clusters.reduce(np.concatenate(features), spec["components"])
    quality = clusters.measure(reduced, labels, spec["neighbours"])
    plane = clusters.tsne(reduced, perplexity=spec["perplexity"], iterations=spec["iterations"], seed=spec["seed"])
    np.savez(
        work.out / "clusters.npz",
        points=plane,
        labels=labels,
        concepts=scores.concepts,
        names=np.array(scores.names),
        classes=classes,
        prompted=np.array(prompts is not None),
    )
    alike = [np.bincount(classes[labels == label]).max() for label in np.unique(labels)]
    values = {
        "silhouette": quality.silhouette,
        "knn_purity": quality.purity,
        "chance": quality.chance,
        "same_class": float(sum(alike) / len(labels)),
        "points": float(len(labels)),
        "neighbours": float(quality.neighbours),
    }
    measured = measure(work, prompts, samples=len(labels), clusters=len(scores.concepts), components=spec["components"])
    return write_numbers(work, values, measured)


def assign(strength: np.ndarray, having: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of each concept: strength (N, S) and membership bool (N, S) -> images (P,) and their concepts (P,).

    At most `most` of each concept, the strongest of those that have it in their set; an image that is among those of
    several belongs to the one that is strongest in it.
    """
    # DECISION: of the images with a concept in their set; the paper says nothing, and in a small set of images "the 100
    # in which it is strongest" would be images in which it is weak.
    among = np.zeros_like(having)
    np.put_along_axis(among, strongest(np.where(having, strength, -np.inf), most).T, True, axis=0)
    among &= having
    images = np.flatnonzero(among.any(axis=1))
    return images, np.where(among[images], strength[images], -np.inf).argmax(axis=1)


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("latent_clusters")
