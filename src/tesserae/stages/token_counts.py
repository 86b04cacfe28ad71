"""Stage `token_counts`: how many tokens images take, and whether those with more to say take more."""

import numpy as np
import torch

from tesserae.data.cache import open_cache
from tesserae.data.floats import float_images
from tesserae.lineage.measures.lengths import Lengths
from tesserae.lineage.work import Work
from tesserae.metrics.lengths import jpeg_bytes, rank_correlation
from tesserae.metrics.reconstruction import psnr
from tesserae.stages.shared.common import pick_device
from tesserae.stages.shared.numbers import write_numbers
from tesserae.stages.shared.progress import slices
from tesserae.stages.shared.side_inputs import open_prompts
from tesserae.stages.shared.tokenizers import decode, encode, lengths_of
from tesserae.training import weights


@torch.inference_mode()
def run(work: Work) -> dict[str, float]:
    """Writes metrics.json and lengths.npy, int64 (M,), of the M validation images.

    metrics.json: mean, standard deviation, smallest and largest number of tokens; and where lengths differ their rank
    correlation with the size of the image as a JPEG file, and with the error of its reconstruction (minus PSNR).
    """
    spec, device = work.spec, pick_device(work.device)
    data, prompts = open_cache(work.inputs["dataset"], "val"), open_prompts(work)
    model = weights.load(work.inputs["tokenizer"] / "weights.safetensors").to(device)
    lengths, ratios, sizes = [], [], []
    for part in slices(len(data.images), spec["batch"], work.title):
        original, text = float_images(data.images[part], device), None
        if prompts is not None:
            text = prompts.of(torch.from_numpy(np.array(data.labels[part]))).to(device)
        tokens = encode(model, original, text)
        lengths.append(lengths_of(model, tokens).cpu().numpy())
        ratios.append(psnr(original, decode(model, tokens, text)).cpu().numpy())
        sizes.append(jpeg_bytes(data.images[part]))
    count = np.concatenate(lengths)
    np.save(work.out / "lengths.npy", count)
    values = {"tokens": count.mean(), "tokens_sd": count.std(), "fewest": count.min(), "most": count.max()}
    values |= {
        "content_correlation": rank_correlation(count, np.concatenate(sizes)),
        "error_correlation": rank_correlation(count, -np.concatenate(ratios)),
    }
    measure = Lengths(
        reference=f"{work.inputs['dataset'].name} val",
        samples=len(count),
        weights="averaged",
        prompt="none" if prompts is None else "given",
    )
    return write_numbers(work, {name: float(x) for name, x in values.items() if x is not None}, measure)


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("token_counts")
