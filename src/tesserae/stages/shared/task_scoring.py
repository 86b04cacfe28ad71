"""A task's network and what it says of images: the one road of `task_network`, `task_score` and `task_control`.

Shapes: B images of side S, K classes; H x W the pixels that a reader sees of a word.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.data.cache import open_cache
from tesserae.data.domains import UNKNOWN, Answers, box_of, open_answers, plain
from tesserae.data.floats import float_images
from tesserae.lineage.measures.task import Task
from tesserae.lineage.work import Work
from tesserae.metrics.features import extract
from tesserae.metrics.fidelity import Statistics, fid, fid_deviation, statistics
from tesserae.metrics.task_scores import confusion, dice, exact_match, letters_read, mean_iou, pixel_accuracy
from tesserae.stages.shared.progress import slices
from tesserae.stages.shared.scoring import Numbers


class Domain(NamedTuple):
    """A split of a domain's images, and what is right."""

    images: np.ndarray  # (N, S, S, 3) uint8
    answers: Answers


class Said(NamedTuple):
    """What a network says of images; of words the readings, else masks."""

    masks: np.ndarray | None  # (N, S, S) uint8
    words: list[str] | None


def open_domain_split(folder: Path, split: str) -> Domain:
    return Domain(open_cache(folder, split).images, open_answers(folder, split))


def cut_words(images: np.ndarray, masks: np.ndarray, side: Sequence[int]) -> np.ndarray:
    """The boxes of words in images uint8 (B, S, S, 3), resized: uint8 (B, H, W, 3); bicubic as PIL does it."""
    height, width = side
    return np.stack(
        [
            np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC, box=box_of(mask)))
            for image, mask in zip(images, masks, strict=True)
        ]
    )


def loss_of(network: nn.Module, domain: Domain, rows: np.ndarray, rng: np.random.Generator, flips: bool) -> Tensor:
    """Of originals: cross-entropy of the pixels whose class is known, or the reader's own."""
    rows, device = np.sort(rows), next(network.parameters()).device  # sorted: arrays are memory-mapped
    images, masks = domain.images[rows], domain.answers.masks[rows]
    if domain.answers.task == "words":
        words = float_images(cut_words(images, masks, network.side), device)
        return network.loss(words, [domain.answers.words[row] for row in rows])
    if flips:
        mirrored = rng.random(len(rows)) < 0.5
        images = np.where(mirrored[:, None, None, None], images[:, :, ::-1], images)
        masks = np.where(mirrored[:, None, None], masks[:, :, ::-1], masks)
    true = torch.from_numpy(masks.astype(np.int64)).to(device)
    return F.cross_entropy(network(float_images(images, device)).float(), true, ignore_index=UNKNOWN)


@torch.inference_mode()
def said_of(network: nn.Module, images: np.ndarray, answers: Answers, batch: int, title: str) -> Said:
    """What a network in eval mode says of images uint8 (N, S, S, 3) in the places of a split's own.

    Where a word stands is told to a reader: finding it is no part of the task (D4).
    """
    device, reads = next(network.parameters()).device, answers.task == "words"
    masks, words = None if reads else np.empty(answers.masks.shape, np.uint8), [] if reads else None
    for part in slices(len(images), batch, title):
        if reads:
            seen = cut_words(images[part], answers.masks[part], network.side)
            words += [plain(word) for word in network.read(float_images(seen, device))]
        else:
            masks[part] = network(float_images(images[part], device)).argmax(dim=1).byte().cpu().numpy()
    return Said(masks, words)


def values_of(said: Said, answers: Answers) -> dict[str, float]:
    """The task's numbers, in percent."""
    if answers.task == "words":
        return {
            "exact_match": exact_match(said.words, answers.words),
            "letters": letters_read(said.words, answers.words),
        }
    if answers.task == "region":
        return {"dice": 100 * float(dice(said.masks, answers.masks).mean())}
    counts = sum(
        confusion(said.masks[part], answers.masks[part], len(answers.classes)) for part in _parts(len(said.masks))
    )
    return {"pixel_accuracy": pixel_accuracy(counts), "miou": mean_iou(counts)}


def by_chance(train: Answers, val: Answers) -> Said:
    """What can be said of validation images without looking at any: of pixels the commonest class of training, of a
    region that it is everywhere (nothing has no Dice), of words the commonest one.
    """
    if val.task == "words":
        said = sorted(train.words)
        return Said(None, [max(dict.fromkeys(said), key=said.count)] * len(val.words))
    if val.task == "region":
        return Said(np.ones(val.masks.shape, np.uint8), None)
    counts = sum(np.bincount(train.masks[part].ravel(), minlength=UNKNOWN + 1) for part in _parts(len(train.masks)))
    return Said(np.full(val.masks.shape, counts[:UNKNOWN].argmax(), np.uint8), None)


def distances(images: np.ndarray, work: Work, device: torch.device) -> Numbers:
    """FID of images uint8 (N, S, S, 3) against validation and training originals, and between these two (D36)."""
    spec, folder = work.spec, work.inputs["reference"]
    layers = [spec["layer"]]
    features = extract(images, spec["extractor"], layers, batch_size=spec["batch"], device=device)[spec["layer"]]
    val, train = (Statistics.load(folder / f"{split}.npz") for split in ("val", "train"))
    found = statistics(features)
    values = {"rfid": fid(found, val), "rfid_disjoint": fid(found, train), "rfid_floor": fid(val, train)}
    deviation = {"rfid": fid_deviation(features, val), "rfid_disjoint": fid_deviation(features, train)}
    return Numbers(values, deviation)


def measure_of(work: Work, **more: Any) -> Task:
    """How numbers of decoded images are obtained; the same for tokenizers and for what stands beside them."""
    spec, domain = work.spec, work.inputs["domain"].name
    images = len(open_cache(work.inputs["domain"], "val").images)
    return Task(
        task_network=named(spec["network"], domain),
        reference=f"{domain} val",
        samples=images,
        disjoint=f"{images} of {domain} train",
        extractor=spec["extractor"],
        layer=spec["layer"],
        rounding=spec["rounding"],
        **more,
    )


def _parts(count: int, size: int = 256) -> Iterable[slice]:
    """Masks are memory-mapped and may be large."""
    return (slice(start, start + size) for start in range(0, count, size))


def named(spec: dict[str, Any], domain: str) -> str:
    """A fixed network in words, as measures name it; spec: its `module` and `training`."""
    kinds = {"unet": "U-Net", "small_unet": "small U-Net", "parseq": "PARSeq", "small_reader": "small CTC reader"}
    kind = kinds[spec["module"].rpartition(".")[2]]
    return f"{kind} as published" if spec["training"] is None else f"{kind} trained on originals of {domain}"
