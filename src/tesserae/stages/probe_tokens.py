"""Stage `probe_tokens`: the images of a probe's data set as a tokenizer's tokens, each a vector.

Shapes: N images of a split, n tokens of each, d values of a token.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from tesserae.data.cache import open_cache
from tesserae.data.floats import float_images
from tesserae.lineage.work import Work
from tesserae.stages.shared.code_vectors import coded, vectors_of
from tesserae.stages.shared.common import pick_device
from tesserae.stages.shared.files import write_json
from tesserae.stages.shared.progress import slices
from tesserae.stages.shared.side_inputs import Prompts, open_prompts
from tesserae.stages.shared.tokenizers import is_discrete, prompted
from tesserae.training import weights


@torch.inference_mode()
def run(work: Work) -> dict[str, float]:
    """Writes {train,val}_tokens.npy float16 (N, n, d), {train,val}_there.npy bool (N, n), and index.json.

    Codes are entries of their codebooks (DECISION D23: the paper says "projected image tokens"); continuous tokens are
    standardised, value by value, over the training images. index.json: what stands for a token, and whether a prompt
    was read.
    """
    device = pick_device(work.device)
    model: Any = weights.load(work.inputs["tokenizer"] / "weights.safetensors").to(device)
    # A prompt of the image's own class would tell a probe the answer: an encoder that reads one gets the constant one.
    prompts = open_prompts(work) if prompted(model) == "encoder" else None
    if prompted(model) == "encoder" and prompts is None:
        raise ValueError(f"{work.title}: the encoder reads prompts, and the job has none")
    shapes = [_write(work, model, split, prompts, device) for split in ("train", "val")]
    discrete = is_discrete(model)
    if not discrete:
        standardise(work.out)
    kinds = "entries of the codebook" if discrete else "standardised tokens"
    write_json(work.out / "index.json", {"latents": kinds, "prompt": "none" if prompts is None else "constant"})
    return {"train_images": shapes[0][0], "val_images": shapes[1][0], "tokens": shapes[0][1], "width": shapes[0][2]}


def _write(work: Work, model: Any, split: str, prompts: Prompts | None, device: torch.device) -> tuple[int, ...]:
    """Tokens of a split, not standardised; returns their shape."""
    images = open_cache(work.inputs.get("scenes", work.inputs.get("dataset")), split).images
    files: list[np.ndarray] = []
    for part in slices(len(images), work.spec["batch"], f"{work.title}: {split}"):
        text = None if prompts is None else prompts.constant(part.stop - part.start).to(device)
        tokens = coded(model, float_images(images[part], device), text, work.spec["policy"])
        vectors, there = vectors_of(model, tokens, work.spec["codes"])
        found = vectors.half().cpu().numpy(), there.cpu().numpy()
        if not files:
            files = [
                np.lib.format.open_memmap(
                    work.out / f"{split}_{name}.npy", "w+", array.dtype, (len(images), *array.shape[1:])
                )
                for name, array in zip(("tokens", "there"), found, strict=True)
            ]
        for file, array in zip(files, found, strict=True):
            file[part] = array
    for file in files:
        file.flush()
    return files[0].shape


def standardise(folder: Path, chunk: int = 1024) -> None:
    """Every value of a token to mean 0 and deviation 1 over all tokens of the training images, in place."""
    train = np.lib.format.open_memmap(folder / "train_tokens.npy", "r+")
    starts = range(0, len(train), chunk)
    parts = [train[start : start + chunk].astype(np.float64) for start in starts]
    count = train.shape[0] * train.shape[1]
    mean = sum(part.sum(axis=(0, 1)) for part in parts) / count
    deviation = np.sqrt(sum(((part - mean) ** 2).sum(axis=(0, 1)) for part in parts) / count)
    for split in ("train", "val"):
        tokens = np.lib.format.open_memmap(folder / f"{split}_tokens.npy", "r+")
        for start in range(0, len(tokens), chunk):
            some = tokens[start : start + chunk].astype(np.float64)
            tokens[start : start + chunk] = (some - mean) / np.maximum(deviation, 1e-6)
        tokens.flush()


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("probe_tokens")
