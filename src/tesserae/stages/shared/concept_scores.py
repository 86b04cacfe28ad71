"""Concepts of validation images by a sparse autoencoder: which are worth showing, and how strong each image has them.

What the stages of concepts share. Shapes: B of N images, S of D concepts, P patches.
"""

import math
from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from tesserae.data.cache import Images, open_cache, read_captions
from tesserae.data.floats import float_images
from tesserae.encoders.semantic import patch_features
from tesserae.lineage.measures.concepts import Concepts
from tesserae.lineage.work import Work
from tesserae.metrics.concepts import purest, typical_words
from tesserae.stages.shared.common import pick_device
from tesserae.stages.shared.progress import slices
from tesserae.stages.shared.side_inputs import Prompts, open_prompts
from tesserae.stages.shared.tokenizers import prompted
from tesserae.training import weights

SPARE = 8  # times as many candidates as are shown: some may turn out to be dense or dead
NAMING = 8  # images that give a concept its name


class Scores(NamedTuple):
    """The concepts that are shown, and the validation images."""

    concepts: np.ndarray  # (S,)
    names: list[str]
    frequency: np.ndarray  # (S,): fraction of training images that have the concept in their set
    firing: np.ndarray  # (S,): fraction of validation images in which it fires in some patch
    strength: np.ndarray  # float32 (N, S): its mean activation over the patches of each validation image


def prompts_of(work: Work, model: nn.Module) -> Prompts | None:
    """The prompts that a tokenizer's encoder reads; None if it reads none."""
    return open_prompts(work) if prompted(model) == "encoder" else None


def open_sae(work: Work) -> nn.Module:
    """The autoencoder of a job, on its device."""
    return weights.load(work.inputs["sae"] / "weights.safetensors").to(pick_device(work.device))


def activations(work: Work, sae: nn.Module, images: np.ndarray, concepts: np.ndarray) -> Tensor:
    """uint8 (B, H, W, 3) -> activations of some concepts (S,) in each patch: (B, P, S), 0 where they do not fire."""
    spec, device = work.spec, sae.b_enc.device
    codes = sae.encode(patch_features(spec["encoder"], float_images(images, device), spec["feature"], spec["side"]))
    place = torch.full((len(sae.b_enc),), len(concepts), device=device)  # all others share a last column
    place[torch.from_numpy(concepts).to(device)] = torch.arange(len(concepts), device=device)
    found = codes.values.new_zeros(*codes.values.shape[:2], len(concepts) + 1)
    return found.scatter_(2, place[codes.indices], codes.values)[..., :-1]


def score(work: Work, sae: nn.Module, data: Images) -> Scores:
    """Choose concepts by the training set, and score the validation images `data` by them.

    The spec has `frequency` (limits of the fraction of training images with a concept), `dense` (largest fraction of
    images in which it fires), `shown` (concepts) and `images` (of each). Raises ValueError if no concept is left.
    """
    spec = work.spec
    class_counts = np.load(work.inputs["concepts"] / "class_counts.npy", mmap_mode="r")  # (classes, D)
    total = len(open_cache(work.inputs["dataset"], "train").images)
    candidates = purest(class_counts, total, spec["frequency"], spec["images"])[: SPARE * spec["shown"]]
    strength = np.empty((len(data.images), len(candidates)), np.float32)
    for some in slices(len(data.images), spec["batch"], work.title):
        strength[some] = activations(work, sae, data.images[some], candidates).mean(dim=1).cpu().numpy()
    # DECISION: dense is what fires in too many images, whatever the scale of activations (the public PatchSAE demo
    # drops concepts by their mean activation); dead is what fires in none.
    firing = (strength > 0).mean(axis=0)
    kept = np.flatnonzero((firing > 0) & (firing <= spec["dense"]))[: spec["shown"]]
    if not len(kept):
        raise ValueError(
            f"none of {len(candidates)} concepts with a frequency within {spec['frequency']} fires in some images and "
            f"in at most {spec['dense']:.0%} of them: widen `frequency` or `dense`"
        )
    concepts, strength = candidates[kept], strength[:, kept]
    frequency = class_counts[:, concepts].sum(axis=0) / total
    names = _names(work, data, strongest(strength, NAMING))
    return Scores(concepts, names, frequency, firing[kept], strength)


def strongest(scores: np.ndarray, most: int) -> np.ndarray:
    """The images with the largest score for each concept: (N, S) -> int (S, at most `most`), the best first."""
    return np.argsort(-scores, axis=0, kind="stable")[:most].T


def _names(work: Work, data: Images, best: np.ndarray) -> list[str]:
    """What the best images (S, I) of each concept are said to show: words of their captions, else their classes."""
    # DEPARTS: the authors let a language model name concepts and two of them check the names.
    captions = read_captions(work.inputs["dataset"], "val")
    if captions is not None:
        return [", ".join(typical_words([captions[image] for image in images], captions)) for images in best]
    classes = [Counter(data.labels[images].tolist()).most_common(2) for images in best]
    return [", ".join(data.class_names[label].split(",")[0] for label, _ in found) for found in classes]


def grid(patches: int) -> int:
    """Side of the square on which patches stand row by row; ValueError if there is none."""
    side = math.isqrt(patches)
    if side**2 != patches:
        raise ValueError(f"{patches} patches do not form a square")
    return side


def measure(work: Work, prompts: Prompts | None, **more: Any) -> Concepts:
    """What numbers of concepts are numbers of: the set of images and its concepts, and what the tokenizer read."""
    return Concepts(
        concept_set=work.inputs["concepts"].name,
        reference=f"{work.inputs['dataset'].name} val",
        weights="averaged",
        prompt="none" if prompts is None else "given",
        **more,
    )
