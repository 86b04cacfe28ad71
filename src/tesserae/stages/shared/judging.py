"""Pairs of similar images, and the critic that says how real what is made between them looks (CompTok, Sec. 3.2.1)."""

import importlib
from typing import Any

import numpy as np
import torch

from tesserae.data.cache import Images
from tesserae.lineage.work import Work
from tesserae.metrics.mode_connectivity import Judge, Pairs, realism_loss
from tesserae.stages.shared.moving import Moving, parts
from tesserae.training import weights


def open_pairs(work: Work, images: int) -> tuple[Pairs, np.ndarray]:
    """The pairs, and features (N, F) of all images of the set; ValueError for those of another one."""
    folder = work.inputs["pairs"]
    with np.load(folder / "pairs.npz") as file:
        found = Pairs(file["first"], file["second"], file.get("same_class"))
    features = np.load(folder / "features.npy", mmap_mode="r")
    if len(features) != images:
        raise ValueError(
            f"{folder.name} are pairs of {len(features)} images, and {work.inputs['dataset'].name} has {images} "
            "validation images: make both of one data set"
        )
    return found, features


def critic_of(work: Work, moving: Moving, data: Images, role: str) -> Judge:
    """The critic of the tokenizer of a role, as a realism loss; ln 2 is as real as its images are on average.

    ValueError for a tokenizer without a critic, and for one that reads images of another side.
    """
    spec, judge = work.spec, importlib.import_module(work.spec["judged_by"])
    model: Any = weights.load(work.inputs[role] / "weights.safetensors").to(moving.device)
    chosen = np.linspace(0, len(data.images) - 1, min(spec["real_images"], len(data.images))).astype(int)
    logits = [judge.logits(model, moving.pictures(data, some)) for _, some in parts(chosen, spec["batch"])]
    real = torch.cat(logits)
    return lambda images: realism_loss(judge.logits(model, images), real)
