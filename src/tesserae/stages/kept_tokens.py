"""Stage `kept_tokens`: which patches a tokenizer keeps, of images and of pictures of nothing (TaTok, Figs. 6 to 8).

Shapes: M validation images of side S, K of them shown; G x G patches; E loss rates; P pictures of nothing.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from tesserae.data.cache import open_cache
from tesserae.data.floats import float_images
from tesserae.data.transforms import to_uint8
from tesserae.lineage.measures.lengths import Lengths
from tesserae.lineage.work import Work
from tesserae.metrics.places import EDGES, chance, edge_shares, nested
from tesserae.stages.shared.common import pick_device
from tesserae.stages.shared.numbers import write_numbers
from tesserae.stages.shared.progress import slices
from tesserae.stages.shared.tokenizers import grid_of, kept_of
from tesserae.training import weights

KEPT = ("patches", *EDGES)


@torch.inference_mode()
def run(work: Work) -> dict[str, float]:
    """Writes kept.npz and metrics.json.

    kept.npz: of K images `originals` and `reconstructions` (K, S, S, 3) uint8, `errors` float32 (K, S, S), the absolute
    difference of values in [-1, 1] averaged over channels, `scores` (K, G, G), `kept` bool (K, G, G), and `swept`
    (E, K, G, G): what is kept at each of `epsilons` (E,). `blanks` (P, S, S, 3), `blank_names`, `blank_scores` and
    `blank_kept` (P, G, G): white, black and a noise, at the loss rate `blank_epsilon`.

    metrics.json: over the validation images at the lowest and the highest loss rate `patches_<end>`, kept on average,
    and percent of them in the outermost columns, `left_right_<end>`, and rows, `top_bottom_<end>`; `nested`, percent of
    images whose kept patches at a loss rate are all kept at the next lower one; `chance`, percent of all patches in
    two columns; and `patches_white` and so on, of pictures of nothing, noise as often as images are shown. Beside the
    values `sweep`: the first three at every loss rate.
    """
    spec, device = work.spec, pick_device(work.device)
    images = open_cache(work.inputs["dataset"], "val").images
    model = weights.load(work.inputs["tokenizer"] / "weights.safetensors").to(device)
    side, rates = grid_of(model), sorted(spec["epsilons"])
    maps, sizes, within = np.zeros((len(rates), side, side), np.int64), np.zeros(len(rates)), []
    for part in slices(len(images), spec["batch"], work.title):
        scores = model.scores(float_images(images[part], device))
        kept = torch.stack([model.keeps(scores, rate) for rate in rates]).cpu().numpy()  # (E, B, M)
        maps += kept.sum(axis=1).reshape(maps.shape)
        sizes += kept.sum(axis=(1, 2))
        within += [nested(larger, smaller) * kept.shape[1] for larger, smaller in zip(kept, kept[1:], strict=False)]
    sweep = [
        {"epsilon": rate, "patches": size / len(images), **edge_shares(found)}
        for rate, size, found in zip(rates, sizes.tolist(), maps, strict=True)
    ]
    values = {f"{name}_{end}": sweep[at][name] for end, at in (("lowest", 0), ("highest", -1)) for name in KEPT}
    if len(rates) > 1:
        values["nested"] = 100 * sum(within) / (len(images) * (len(rates) - 1))
    values["chance"] = chance(side)
    shown = images[np.linspace(0, len(images) - 1, min(spec["shown"], len(images))).astype(int)]
    nothing = of_nothing(shown.shape[1], spec["shown"], spec["seed"])
    pictures, shares = look_at_nothing(model, nothing, spec["blank_epsilon"], device)
    np.savez_compressed(work.out / "kept.npz", **look_at(model, shown, rates, device), **pictures)
    measure = Lengths(
        reference=f"{work.inputs['dataset'].name} val", samples=len(images), weights="averaged", prompt="none"
    )
    return write_numbers(work, values | shares, measure, sweep=sweep)


def look_at(model: Any, images: np.ndarray, rates: list[float], device: torch.device) -> dict[str, np.ndarray]:
    """The arrays of images uint8 (K, S, S, 3), see `run`."""
    side, pixels = grid_of(model), float_images(images, device)
    codes, scores = model.encode(pixels), model.scores(pixels)
    rebuilt = model.decode(codes).clamp(-1, 1)
    return {
        "originals": images,
        "reconstructions": to_uint8(rebuilt, mode="round").cpu().numpy(),
        "errors": (rebuilt - pixels).abs().mean(dim=1).cpu().numpy(),
        "scores": _grid(scores, side),
        "kept": _grid(kept_of(model, codes), side),
        "epsilons": np.array(rates),
        "swept": np.stack([_grid(model.keeps(scores, rate), side) for rate in rates]),
    }


def of_nothing(side: int, noises: int, seed: int) -> dict[str, np.ndarray]:
    """Pictures without meaning, uint8 (n, S, S, 3) by name: white, black, and so many of uniform noise."""
    noise = np.random.default_rng(seed).integers(0, 256, (noises, side, side, 3)).astype(np.uint8)
    return {"white": np.full_like(noise[:1], 255), "black": np.zeros_like(noise[:1]), "noise": noise}


def look_at_nothing(
    model: Any, pictures: dict[str, np.ndarray], rate: float, device: torch.device
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """The arrays of the first picture of each kind, see `run`, and shares of kept patches over all of a kind."""
    side, scores, kept, shares = grid_of(model), [], [], {}
    for name, images in pictures.items():
        found = model.scores(float_images(images, device))
        left = _grid(model.keeps(found, rate), side)
        shares |= {f"{edges}_{name}": share for edges, share in edge_shares(left.sum(axis=0)).items()}
        shares[f"patches_{name}"] = float(left.sum(axis=(1, 2)).mean())
        scores.append(_grid(found, side)[0])
        kept.append(left[0])
    arrays = {
        "blanks": np.stack([images[0] for images in pictures.values()]),
        "blank_names": np.array(list(pictures)),
        "blank_scores": np.stack(scores),
        "blank_kept": np.stack(kept),
        "blank_epsilon": np.array(rate),
    }
    return arrays, shares


def _grid(patches: Tensor, side: int) -> np.ndarray:
    """(B, M) in raster order -> (B, G, G)."""
    return patches.cpu().numpy().reshape(-1, side, side)


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("kept_tokens")
