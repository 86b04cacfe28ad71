"""Stage `tokens`: the training set through a tokenizer, as posterior moments of each image and its mirror image."""

import numpy as np
import torch

from tesserae.data.cache import open_cache
from tesserae.lineage.work import Work
from tesserae.stages.common import float_images, pick_device, slices
from tesserae.training import weights


@torch.inference_mode()
def run(work: Work) -> dict[str, float]:
    """Writes moments.npy (M, 2, N, 2C) float32 (as is, mirrored; mean, log-variance), labels.npy (M,), statistics.npz.

    statistics.npz holds mean and std, both (C,): of the posterior means over the images as they are; generators learn
    tokens standardised by them (l-DeTok, official code).
    """
    device = pick_device(work.device)
    data = open_cache(work.inputs["dataset"], "train")
    model = weights.load(work.inputs["tokenizer"] / "weights.safetensors").to(device)
    moments, total, squares = None, 0.0, 0.0
    for part in slices(len(data.images), work.spec["batch"], work.title):
        images = float_images(data.images[part], device)
        posteriors = [model.posterior(images), model.posterior(images.flip(-1))]
        both = torch.stack([torch.cat([p.mean, p.logvar], dim=-1) for p in posteriors], dim=1).cpu()  # (B, 2, N, 2C)
        if moments is None:
            shape = (len(data.images), *both.shape[1:])
            moments = np.lib.format.open_memmap(work.out / "moments.npy", "w+", np.float32, shape)
        moments[part] = both.numpy()
        means = posteriors[0].mean.double().flatten(0, 1)
        total, squares = total + means.sum(0).cpu(), squares + means.square().sum(0).cpu()
    moments.flush()
    count = moments.shape[0] * moments.shape[2]
    mean = total / count
    std = (squares / count - mean.square()).sqrt()
    np.save(work.out / "labels.npy", data.labels)
    np.savez(work.out / "statistics.npz", mean=mean.float().numpy(), std=std.float().numpy())
    return {
        "images": len(data.images),
        "tokens": moments.shape[2],
        "channels": len(mean),
        "smallest_std": std.min().item(),
        "largest_std": std.max().item(),
    }


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("tokens")
