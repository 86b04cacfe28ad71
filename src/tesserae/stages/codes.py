"""Stage `codes`: the training set through a discrete tokenizer, each image and its mirror image as codes."""

import numpy as np
import torch

from tesserae.data.cache import open_cache
from tesserae.data.floats import float_images
from tesserae.lineage.work import Work
from tesserae.metrics.codebook import health
from tesserae.stages.shared.common import pick_device, shard_of
from tesserae.stages.shared.progress import slices
from tesserae.stages.shared.side_inputs import open_prompts
from tesserae.stages.shared.tokenizers import encode
from tesserae.training import weights


@torch.inference_mode()
def run(work: Work) -> dict[str, float]:
    """Writes codes.npy (M, 2, N) uint16 or int32 (as is, mirrored), labels.npy (M,), counts.npy (V,) int64.

    M images are this job's part of the training set; counts are of the images as they are. Returns the health of the
    codebook on them: fraction of codes that are used, perplexity, dead codes.
    """
    # DEPARTS (D2): the paper crops and flips at random; here an image and its mirror image, for data sets are cached at
    # the size of the images.
    device = pick_device(work.device)
    data = open_cache(work.inputs["dataset"], "train")
    part = shard_of(len(data.images), work.spec)
    images, labels = data.images[part.start : part.stop], np.array(data.labels[part.start : part.stop])
    model = weights.load(work.inputs["tokenizer"] / "weights.safetensors").to(device)
    prompts, codes = open_prompts(work), None
    counts = np.zeros(model.vocabulary, np.int64)
    for some in slices(len(images), work.spec["batch"], work.title):
        batch = float_images(images[some], device)
        text = None if prompts is None else prompts.of(torch.from_numpy(labels[some])).to(device)
        plain, mirrored = (encode(model, x, text) for x in (batch, batch.flip(-1)))
        both = torch.stack([plain, mirrored], dim=1).cpu().numpy()  # (B, 2, N)
        if codes is None:
            kind = np.uint16 if model.vocabulary <= 2**16 else np.int32
            codes = np.lib.format.open_memmap(work.out / "codes.npy", "w+", kind, (len(images), *both.shape[1:]))
        codes[some] = both
        counts += np.bincount(plain.flatten().cpu().numpy(), minlength=model.vocabulary)
    codes.flush()
    np.save(work.out / "labels.npy", labels)
    np.save(work.out / "counts.npy", counts)
    return {"images": len(images), "tokens": codes.shape[2], "vocabulary": model.vocabulary, **health(counts)}


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("codes")
