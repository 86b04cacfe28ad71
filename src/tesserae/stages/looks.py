"""Stage `looks`: what is drawn from codes of the crops that a policy chose (COMiT, Table 3, Figs. 3, 4 and 10).

Shapes: M validation images of side S, K of them shown; C crops of each, s side of a crop; B images of a batch.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from tesserae.data.floats import float_images
from tesserae.data.transforms import to_uint8
from tesserae.lineage.work import Work
from tesserae.metrics.reconstruction import psnr
from tesserae.stages.shared.numbers import write_numbers
from tesserae.stages.shared.recoding import Recoding
from tesserae.tokenizers.comit_looking import Policy

VIEW = {"steps": 1, "guidance": 1.0}  # one step without guidance draws the mean of what may be there (Sec. 4.3)


@torch.inference_mode()
def run(work: Work) -> dict[str, float]:
    """Writes metrics.json and looks.npz.

    metrics.json: rFID, rIS and PSNR of the validation images as the recipe draws them after the last crop, and
    `view_psnr`, of what one step without guidance draws.

    looks.npz: of K images `originals` and `reconstructions` (K, S, S, 3) uint8; `views` (C, K, S, S, 3), drawn in one
    step after each crop, and `view_psnr` (C, K), theirs; `boxes` int64 (C, K, 4), where each crop lies: its left and
    upper edge, its width and its height, in pixels. For tokenizers that look at crops (`told` and `drawn`).
    """
    spec, recoding = work.spec, Recoding(work)
    model, policy, ratios = recoding.model, Policy(**spec["policy"]), []

    def drawn(part: slice) -> Tensor:
        original = float_images(recoding.images[part], recoding.device)
        told = model.told(original, policy)
        ratios.append(psnr(original, model.drawn(told, **VIEW)).cpu())
        return model.drawn(told, **_own(model))

    numbers = recoding.measured(drawn, "drawn")
    chosen = np.linspace(0, len(recoding.images) - 1, min(spec["shown"], len(recoding.images))).astype(int)
    np.savez_compressed(
        work.out / "looks.npz", **look_at(model, recoding.images[chosen], policy, device=recoding.device)
    )
    values = numbers.values | {"view_psnr": torch.cat(ratios).mean().item()}
    return write_numbers(work, values, recoding.measure(), deviation=numbers.deviation)


def look_at(model: Any, images: np.ndarray, policy: Policy, device: torch.device) -> dict[str, np.ndarray]:
    """The arrays of looks.npz, for images uint8 (K, S, S, 3).

    A policy with fewer crops begins as one with more: what it chose is what the longer one had chosen by then.
    """
    original, views, ratios, boxes = float_images(images, device), [], [], []
    for crops in range(1, policy.crops + 1):
        told = model.told(original, policy._replace(crops=crops))
        view = model.drawn(told, **VIEW)
        ratios.append(psnr(original, view).cpu().numpy())
        views.append(_picture(view))
        boxes.append(boxes_of(-told.offsets, model.image_size, None if policy.whole and crops == 1 else model.crop))
    return {
        "originals": images,
        "reconstructions": _picture(model.drawn(told, **_own(model))),
        "views": np.stack(views),
        "view_psnr": np.stack(ratios),
        "boxes": np.stack(boxes),
    }


def boxes_of(places: Tensor, side: int, crop: int | None) -> np.ndarray:
    """Centres (B, 2) of crops, x and y from -1 to 1 over images of a side -> int64 (B, 4): left, top, width, height.

    crop: side of a crop; None: the whole image.
    """
    size = side if crop is None else crop
    corners = ((places + 1) * (side / 2) - size / 2).round().long().cpu()
    return torch.cat([corners, torch.full_like(corners, size)], dim=1).numpy()


def _own(model: Any) -> dict[str, Any]:
    return {key: model.sampling[key] for key in VIEW}


def _picture(drawn: Tensor) -> np.ndarray:
    return to_uint8(drawn, mode="round").cpu().numpy()


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("looks")
