"""Stage `tokens`: the training set through a tokenizer, as posterior moments of each image and its mirror image."""

import numpy as np
import torch

from tesserae.data.cache import open_cache
from tesserae.data.floats import float_images
from tesserae.lineage.work import Work
from tesserae.stages.shared.common import pick_device, shard_of
from tesserae.stages.shared.progress import slices
from tesserae.stages.shared.token_shards import Sums
from tesserae.training import weights


@torch.inference_mode()
def run(work: Work) -> dict[str, float]:
    """Writes moments.npy (M, 2, N, 2C) float32 (as is, mirrored; mean, log-variance), labels.npy (M,), sums.npz.

    M images are this job's part of the training set. sums.npz holds count, total and squares of the posterior means
    over the images as they are, by channel (C,): what the parts' common mean and deviation need (`Sums`); and published
    constants `mean` and `std` (C,) where the recipe has them.
    """
    device = pick_device(work.device)
    data = open_cache(work.inputs["dataset"], "train")
    part = shard_of(len(data.images), work.spec)
    images, labels = data.images[part.start : part.stop], data.labels[part.start : part.stop]
    model = weights.load(work.inputs["tokenizer"] / "weights.safetensors").to(device)
    moments, total, squares = None, 0.0, 0.0
    for some in slices(len(images), work.spec["batch"], work.title):
        batch = float_images(images[some], device)
        posteriors = [model.posterior(batch), model.posterior(batch.flip(-1))]
        both = torch.stack([torch.cat([p.mean, p.logvar], dim=-1) for p in posteriors], dim=1).cpu()  # (B, 2, N, 2C)
        if moments is None:
            shape = (len(images), *both.shape[1:])
            moments = np.lib.format.open_memmap(work.out / "moments.npy", "w+", np.float32, shape)
        moments[some] = both.numpy()
        means = posteriors[0].mean.double().flatten(0, 1)
        total, squares = total + means.sum(0).cpu(), squares + means.square().sum(0).cpu()
    moments.flush()
    sums = Sums(moments.shape[0] * moments.shape[2], total.numpy(), squares.numpy())
    np.save(work.out / "labels.npy", labels)
    given = work.spec.get("standardisation")  # published constants; without them, what the sums give
    constants = {name: np.broadcast_to(np.float64(given[name]), sums.total.shape) for name in given or ()}
    np.savez(work.out / "sums.npz", **sums._asdict(), **constants)
    return {
        "images": len(images),
        "tokens": moments.shape[2],
        "channels": len(sums.total),
        "smallest_std": float(sums.std.min()),
        "largest_std": float(sums.std.max()),
    }


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("tokens")
