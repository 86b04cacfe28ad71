"""Stage `ragged_codes`: as `codes`, through a tokenizer that makes more codes of one image than of another."""

import numpy as np
import torch

from tesserae.data.cache import open_cache
from tesserae.data.floats import float_images
from tesserae.data.ragged import write_ragged
from tesserae.lineage.work import Work
from tesserae.stages.shared.common import pick_device, shard_of
from tesserae.stages.shared.progress import slices
from tesserae.stages.shared.side_inputs import open_prompts
from tesserae.stages.shared.tokenizers import encode
from tesserae.training import weights


@torch.inference_mode()
def run(work: Work) -> dict[str, float]:
    """Writes codes and places, {codes,places}_{indices,offsets}.npy (data/ragged.py), and labels.npy (M,).

    Rows are this job's M images of the training set as they are, then mirrored (2 M rows): the codes that a picture has
    and, beside each, its place among the tokenizer's N. Returns how many codes the images as they are have.
    """
    device = pick_device(work.device)
    data = open_cache(work.inputs["dataset"], "train")
    part = shard_of(len(data.images), work.spec)
    images, labels = data.images[part.start : part.stop], np.array(data.labels[part.start : part.stop])
    model = weights.load(work.inputs["tokenizer"] / "weights.safetensors").to(device)
    prompts = open_prompts(work)
    padded = np.empty((2, len(images), model.tokens), np.int32)
    for some in slices(len(images), work.spec["batch"], work.title):
        batch = float_images(images[some], device)
        text = None if prompts is None else prompts.of(torch.from_numpy(labels[some])).to(device)
        for view, pictures in enumerate((batch, batch.flip(-1))):
            padded[view, some] = encode(model, pictures, text).cpu().numpy()
    rows = padded.reshape(-1, model.tokens)
    write_ragged(work.out, "codes", rows)
    write_ragged(work.out, "places", np.where(rows >= 0, np.arange(model.tokens, dtype=np.int32), -1))
    np.save(work.out / "labels.npy", labels)
    lengths = (padded[0] >= 0).sum(1)
    numbers = {
        "length": lengths.mean(),
        "length_sd": lengths.std(),
        "shortest": lengths.min(),
        "longest": lengths.max(),
    }
    return {"images": len(images), "vocabulary": model.vocabulary, **{name: float(x) for name, x in numbers.items()}}


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("ragged_codes")
