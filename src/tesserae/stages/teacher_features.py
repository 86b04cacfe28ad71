"""Stage `teacher_features`: a part of a data set through a frozen network, for tokenizers that align with it."""

import numpy as np
import torch

from tesserae.data.cache import open_cache
from tesserae.data.floats import float_images
from tesserae.encoders.teachers import teacher_features
from tesserae.lineage.work import Work
from tesserae.stages.shared.common import pick_device, shard_of
from tesserae.stages.shared.progress import slices


@torch.inference_mode()
def run(work: Work) -> dict[str, int]:
    """Writes features.npy (M, 2, 1 + P, F) float16: of this job's M training images, as they are and mirrored, the
    whole image and then P patches.

    Raises OverflowError for features that float16 cannot hold.
    """
    spec, device = work.spec, pick_device(work.device)
    images = open_cache(work.inputs["dataset"], "train").images
    part = shard_of(len(images), spec)
    images, features = images[part.start : part.stop], None
    for some in slices(len(images), spec["batch"], work.title):
        seen = float_images(images[some], device)
        found = torch.stack([teacher_features(spec["teacher"], one) for one in (seen, seen.flip(-1))], dim=1)
        found = found.half().cpu().numpy()
        if not np.isfinite(found).all():
            raise OverflowError(f"{work.title}: features of images {some} of this part exceed 65504, float16's largest")
        if features is None:
            shape = (len(images), *found.shape[1:])
            features = np.lib.format.open_memmap(work.out / "features.npy", "w+", np.float16, shape)
        features[some] = found
    features.flush()
    return {"images": len(images), "patches": features.shape[2] - 1, "width": features.shape[3]}


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("teacher_features")
