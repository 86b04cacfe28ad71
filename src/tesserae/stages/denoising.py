"""Stage `denoising`: l-DeTok's Figure A.1, decoding latents that were corrupted at growing noise levels."""

import numpy as np
import torch

from tesserae.data.cache import open_cache
from tesserae.data.transforms import to_uint8
from tesserae.lineage.work import Work
from tesserae.metrics.reconstruction import psnr
from tesserae.stages.common import float_images, pick_device
from tesserae.tokenizers.detok import denoise_sweep
from tesserae.training import weights


@torch.inference_mode()
def run(work: Work) -> dict[str, float]:
    """Writes denoising.npz: taus (T,), images (T, K, S, S, 3), originals (K, S, S, 3), psnr (T,) in dB.

    The mean PSNR is over `batch` images, of which K are shown.
    """
    spec, device = work.spec, pick_device(work.device)
    images = open_cache(work.inputs["dataset"], "val").images
    chosen = images[np.linspace(0, len(images) - 1, min(spec["batch"], len(images))).astype(int)]
    model = weights.load(work.inputs["tokenizer"] / "weights.safetensors").to(device)
    original = float_images(chosen, device)
    decoded = denoise_sweep(model, original, spec["taus"], spec["gamma"], spec["seed"])  # (T, K, 3, S, S)
    ratios = np.array([psnr(original, level).mean().item() for level in decoded])
    shown = np.linspace(0, len(chosen) - 1, min(spec["shown"], len(chosen))).astype(int)
    pictures = np.stack([to_uint8(level[shown], mode="round").cpu().numpy() for level in decoded])
    np.savez(
        work.out / "denoising.npz", taus=np.array(spec["taus"]), images=pictures, originals=chosen[shown], psnr=ratios
    )
    return {f"psnr_tau_{tau}": ratio for tau, ratio in zip(spec["taus"], ratios.tolist(), strict=True)}


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("denoising")
