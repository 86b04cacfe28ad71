"""Stage `task_score`: what a task's fixed network still sees in images that a tokenizer encoded and decoded.

CompTok, Table 2: the tokenizer was trained on other images and is not fine-tuned.

Shapes: N images of side S, K of them shown.
"""

from typing import Any

import numpy as np
import torch

from tesserae.data.floats import float_images
from tesserae.data.resizing import resized
from tesserae.data.transforms import to_uint8
from tesserae.lineage.work import Work
from tesserae.metrics.reconstruction import psnr
from tesserae.stages.shared.common import pick_device
from tesserae.stages.shared.numbers import write_numbers
from tesserae.stages.shared.progress import slices
from tesserae.stages.shared.side_inputs import Prompts, open_prompts
from tesserae.stages.shared.task_scoring import Said, distances, measure_of, open_domain_split, said_of, values_of
from tesserae.stages.shared.tokenizers import decode, encode, prompted
from tesserae.training import weights


@torch.inference_mode()
def run(work: Work) -> dict[str, float]:
    """Writes metrics.json and shown.npz.

    metrics.json: the task's numbers in percent (`pixel_accuracy` and `miou`, `dice`, or `exact_match` and `letters`);
    `psnr` in dB; `rfid` against the originals of the same images, `rfid_disjoint` against as many other originals, and
    `rfid_floor`, the distance between those two sets (D36). A tokenizer with prompts gets the one that names no class:
    images of a domain have none.

    shown.npz: of K images `originals` and `reconstructions` (K, S, S, 3) uint8; `true` and `found` (K, S, S) uint8,
    masks, or of words `words` and `read` (K,).
    """
    spec, device = work.spec, pick_device(work.device)
    domain = open_domain_split(work.inputs["domain"], "val")
    model: Any = weights.load(work.inputs["tokenizer"] / "weights.safetensors").to(device)
    prompts = open_prompts(work)
    if prompted(model) != "none" and prompts is None:
        raise ValueError(f"{work.title}: the tokenizer reads prompts, and the job has none")
    rebuilt, ratios = rebuilt_by(model, domain.images, prompts, spec, work.title)
    network = weights.load(work.inputs["task_network"] / "weights.safetensors").to(device)
    said = said_of(network, rebuilt, domain.answers, spec["batch"], f"{work.title}: scored")
    values = values_of(said, domain.answers) | {"psnr": ratios.mean().item()}
    found = distances(rebuilt, work, device)
    np.savez_compressed(work.out / "shown.npz", **look_at(domain, rebuilt, said, spec["shown"]))
    measure = measure_of(work, **({} if prompts is None else {"prompt": "constant"}))
    return write_numbers(work, values | found.values, measure, deviation=found.deviation)


def rebuilt_by(
    model: Any, images: np.ndarray, prompts: Prompts | None, spec: dict[str, Any], title: str
) -> tuple[np.ndarray, torch.Tensor]:
    """Images uint8 (N, S, S, 3) as a tokenizer leaves them, and the PSNR of each (N,).

    A tokenizer of images of another side gets them resized to it, and what it makes is resized back.
    """
    device, side = next(model.parameters()).device, images.shape[1]
    rebuilt, ratios = np.empty_like(images), []
    for part in slices(len(images), spec["batch"], title):
        seen = float_images(resized(images[part], spec["side"]), device)
        text = None if prompts is None else prompts.constant(len(seen)).to(device)
        decoded = decode(model, encode(model, seen, text), text)
        rebuilt[part] = resized(to_uint8(decoded, mode=spec["rounding"]).cpu().numpy(), side)
        original = float_images(images[part], device)
        compared = decoded if side == spec["side"] else float_images(rebuilt[part], device)
        ratios.append(psnr(original, compared).cpu())
    return rebuilt, torch.cat(ratios)


def look_at(domain, rebuilt: np.ndarray, said: Said, shown: int) -> dict[str, np.ndarray]:
    """The arrays of shown.npz."""
    chosen = np.linspace(0, len(rebuilt) - 1, min(shown, len(rebuilt))).astype(int)
    arrays = {"originals": domain.images[chosen], "reconstructions": rebuilt[chosen]}
    if said.words is not None:
        words = {"words": domain.answers.words, "read": said.words}
        return arrays | {name: np.array([some[i] for i in chosen], dtype=str) for name, some in words.items()}
    return arrays | {"true": domain.answers.masks[chosen], "found": said.masks[chosen]}


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("task_score")
