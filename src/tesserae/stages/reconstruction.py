"""Stage `reconstruction`: rFID, rIS and PSNR of a tokenizer on the validation set, and a few images to look at."""

import numpy as np
import torch

from tesserae.data.cache import open_cache
from tesserae.data.floats import float_images
from tesserae.data.transforms import to_uint8
from tesserae.lineage.measures.images import Images
from tesserae.lineage.work import Work
from tesserae.metrics.reconstruction import psnr
from tesserae.stages.shared.common import pick_device
from tesserae.stages.shared.numbers import write_numbers
from tesserae.stages.shared.progress import slices
from tesserae.stages.shared.scoring import as_reconstructions, of_reconstructions, save_shown, score
from tesserae.stages.shared.side_inputs import open_prompts, shuffled
from tesserae.stages.shared.tokenizers import decode, encode, is_discrete
from tesserae.training import weights


@torch.inference_mode()
def run(work: Work) -> dict[str, float]:
    """Writes metrics.json and images.npz.

    Averaged weights, posterior means, no noise, no mask (l-DeTok, official code). A tokenizer with prompts gets that of
    each image's class; the spec's `prompt` may say "shuffled" (another image's) or "constant" (one that names no
    class): what the label alone contributes.
    """
    spec, device = work.spec, pick_device(work.device)
    data = open_cache(work.inputs["dataset"], "val")
    images, labels = data.images, torch.from_numpy(np.array(data.labels))
    prompts, given = open_prompts(work), spec.get("prompt")
    if given == "shuffled":
        labels = shuffled(labels, spec["seed"])
    model = weights.load(work.inputs["tokenizer"] / "weights.safetensors").to(device)
    rebuilt, ratios = np.empty_like(images), []
    for part in slices(len(images), spec["batch"], work.title):
        original = float_images(images[part], device)
        text = None
        if prompts is not None:
            text = prompts.constant(len(original)) if given == "constant" else prompts.of(labels[part])
            text = text.to(device)
        decoded = decode(model, encode(model, original, text), text)
        ratios.append(psnr(original, decoded).cpu())
        rebuilt[part] = to_uint8(decoded, mode=spec["rounding"]).cpu().numpy()
    numbers = of_reconstructions(score(rebuilt, spec, device), work.inputs["reference"], torch.cat(ratios))
    measure = Images(
        **as_reconstructions(spec, work.inputs["dataset"], len(images)),
        weights="averaged",
        latents="codes" if is_discrete(model) else "posterior mean",
        **({"prompt": given} if given in ("shuffled", "constant") else {}),  # what a tokenizer reads is its own affair
    )
    save_shown(work.out / "images.npz", images, rebuilt, spec["shown"])
    return write_numbers(work, numbers.values, measure, deviation=numbers.deviation)


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("reconstruction")
