"""Stage `semantic_features`: a part of a data set through a frozen network, as features of its patches."""

import numpy as np
import torch

from tesserae.data.cache import open_cache
from tesserae.data.floats import float_images
from tesserae.encoders.semantic import patch_features
from tesserae.lineage.work import Work
from tesserae.stages.shared.common import pick_device, shard_of
from tesserae.stages.shared.progress import slices


@torch.inference_mode()
def run(work: Work) -> dict[str, int]:
    """Writes features.npy (M, P, F) float16: P patches of this job's M images of the split.

    Raises OverflowError for features that float16 cannot hold.
    """
    # DEPARTS: images are the centre crops of the data set's cache; the paper's processor squeezes whole images (and
    # LLaVA-NeXT's charts and pages lose their borders here). Repeated images are kept, as in the list of dialogues.
    spec, device = work.spec, pick_device(work.device)
    images = open_cache(work.inputs["dataset"], spec["split"]).images
    part = shard_of(len(images), spec)
    images, features = images[part.start : part.stop], None
    for some in slices(len(images), spec["batch"], work.title):
        found = patch_features(spec["encoder"], float_images(images[some], device), spec["feature"], spec["side"])
        found = found.half().cpu().numpy()
        if not np.isfinite(found).all():
            raise OverflowError(f"{work.title}: features of images {some} of this part exceed 65504, float16's largest")
        if features is None:
            shape = (len(images), *found.shape[1:])
            features = np.lib.format.open_memmap(work.out / "features.npy", "w+", np.float16, shape)
        features[some] = found
    features.flush()
    return dict(zip(("images", "patches", "width"), features.shape, strict=True))


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("semantic_features")
