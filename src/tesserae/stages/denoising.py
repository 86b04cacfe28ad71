"""Stage `denoising`: l-DeTok's Figures A.1 and A.2, images decoded from latents that were damaged more and more."""

import importlib

import numpy as np
import torch
from torch import Tensor, nn

from tesserae.data.cache import open_cache
from tesserae.data.floats import float_images
from tesserae.data.transforms import to_uint8
from tesserae.diffusion.latent_noise import interpolate
from tesserae.lineage.work import Work
from tesserae.metrics.reconstruction import psnr
from tesserae.stages.shared.common import pick_device
from tesserae.stages.shared.tokenizers import masks_patches
from tesserae.training import weights


@torch.inference_mode()
def run(work: Work) -> dict[str, float]:
    """Writes denoising.npz: originals (K, S, S, 3), taus (T,), images (T, K, S, S, 3), psnr (T,) in dB, gamma, count.

    For tokenizers that can mask what they encode (their module has `mask_sweep`) also ratios (R,), masked_images
    (R, K, S, S, 3) and masked_psnr (R,). PSNR is the mean over `count` images, of which K are shown.
    """
    spec, device = work.spec, pick_device(work.device)
    images = open_cache(work.inputs["dataset"], "val").images
    chosen = images[np.linspace(0, len(images) - 1, min(spec["batch"], len(images))).astype(int)]
    shown = np.linspace(0, len(chosen) - 1, min(spec["shown"], len(chosen))).astype(int)
    model = weights.load(work.inputs["tokenizer"] / "weights.safetensors").to(device)
    original = float_images(chosen, device)

    def rebuilt(levels: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Decoded images (L, B, 3, S, S) -> the shown ones (L, K, S, S, 3) and the mean PSNR of all (L,)."""
        pictures = [to_uint8(level[shown], mode="round").cpu().numpy() for level in levels]
        return np.stack(pictures), np.array([psnr(original, level).mean().item() for level in levels])

    found = {"originals": chosen[shown], "gamma": np.array(spec["gamma"]), "count": np.array(len(chosen))}
    found["taus"] = np.array(spec["taus"])
    found["images"], found["psnr"] = rebuilt(denoise_sweep(model, original, spec["taus"], spec["gamma"], spec["seed"]))
    numbers = {f"psnr_tau_{tau}": ratio for tau, ratio in zip(spec["taus"], found["psnr"].tolist(), strict=True)}
    module = importlib.import_module(spec["tokenizer"])
    if masks_patches(module):
        found["ratios"] = np.array(spec["ratios"])
        masked = module.mask_sweep(model, original, spec["ratios"], spec["seed"])
        found["masked_images"], found["masked_psnr"] = rebuilt(masked)
        by_ratio = zip(spec["ratios"], found["masked_psnr"].tolist(), strict=True)
        numbers |= {f"psnr_mask_{ratio}": value for ratio, value in by_ratio}
    np.savez(work.out / "denoising.npz", **found)
    return numbers


def denoise_sweep(model: nn.Module, images: Tensor, taus: list[float], gamma: float, seed: int) -> Tensor:
    """Fig. A.1: tokens of (B, 3, S, S), corrupted by Eq. 4 at each tau and decoded -> (T, B, 3, S, S).

    For any tokenizer with `encode` (of KL models the posterior means) and `decode`. One draw of noise per image serves
    all taus and all models; image i takes it from a generator of seed + i. A baseline is given the gamma of the others,
    its own being 0.
    """
    z = model.encode(images)  # (B, N, C)
    generators = [torch.Generator().manual_seed(seed + i) for i in range(len(z))]
    noise = gamma * torch.stack([torch.randn(z.shape[1:], generator=rng) for rng in generators]).to(z)
    return torch.stack([model.decode(interpolate(z, noise, tau)) for tau in taus])


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("denoising")
