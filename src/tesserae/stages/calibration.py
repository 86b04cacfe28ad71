"""Stage `calibration`: how large the tokens of a tokenizer are, channel by channel (CompTok, App. A; D30)."""

import numpy as np
import torch

from tesserae.data.cache import open_cache
from tesserae.lineage.work import Work
from tesserae.metrics.information_gain import coordinates_of
from tesserae.stages.shared.moving import Moving
from tesserae.stages.shared.progress import slices
from tesserae.stages.shared.tokenizers import codebooks_of


@torch.inference_mode()
def run(work: Work) -> dict[str, float]:
    """Writes calibration.npz: `mean` and `std` float32 (C,) of the vectors of all tokens of some training images, or
    (M, C) where there are several codebooks, each with its own; and `tokens`, int64 (), M, how many an image has.

    A channel that is the same in all tokens of all images has std 0, and no scale to move in: who descends says so.
    """
    spec, moving = work.spec, Moving(work)
    data = open_cache(work.inputs["dataset"], "train")
    many = min(spec["images"], len(data.images))
    # DECISION (D30): of training images, which the tokenizer knows; the paper says nothing of a scale.
    rows = np.sort(np.random.default_rng(spec["seed"]).choice(len(data.images), many, replace=False))
    titled = slices(many, spec["batch"], work.title)
    vectors = torch.cat([moving.vectors(data, rows[part]).cpu() for part in titled])  # (images, M, C)
    found, tokens = coordinates_of(vectors, [*codebooks_of(moving.model).values()]), vectors.shape[1]
    arrays = {"mean": found.mean.numpy(), "std": found.std.numpy(), "tokens": np.array(tokens)}
    np.savez(work.out / "calibration.npz", **arrays)
    still, scale = len(found.still), float(found.std.mean())
    return {"tokens": tokens, "channels": found.std.shape[-1], "still": still, "scale": scale}


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("calibration")
