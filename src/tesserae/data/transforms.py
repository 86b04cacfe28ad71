"""From pictures to arrays and tensors: the one centre crop of the project, and the two ends of every model.

Importing this file does not import torch (`to_float` and `random_flip` need it), so that data stages start at once.
Shapes: B images, H x W pixels.
"""

from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from torch import Generator, Tensor


def center_crop(image: Image.Image, size: int) -> Image.Image:
    """The crop of ADM, used by all five papers: shrink or enlarge to a short side of `size`, keep the middle square.

    As long as the short side is at least twice `size` the image is halved with a box filter (odd sizes round down); one
    bicubic resize does the rest. Offsets round down. Works in the image's own mode; returns `size` x `size`.
    """
    while min(image.size) >= 2 * size:
        image = image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)
    factor = size / min(image.size)
    image = image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return image.crop((left, top, left + size, top + size))


def to_float(images: "Tensor") -> "Tensor":
    """uint8 (B, H, W, 3) in 0...255 to float32 (B, 3, H, W) in [-1, 1]: (x / 255 - 0.5) / 0.5."""
    import torch

    floats = images.permute(0, 3, 1, 2).to(torch.float32, copy=True)
    return floats.div_(255).sub_(0.5).div_(0.5)  # in place: three times as fast on a CPU, the same bits


def to_uint8(images: "Tensor", *, mode: str) -> "Tensor":
    """float (B, 3, H, W), nominally in [-1, 1], to uint8 (B, H, W, 3); values outside are clamped.

    `mode` is "truncate" (255 x is cut to an integer, as in most papers' code; images that came from uint8 may lose a
    level) or "round" (the exact inverse of `to_float`). The measure of a number says which.
    """
    levels = images.float().mul(0.5).add(0.5).clamp(0, 1).mul(255)
    if mode == "round":
        levels = levels.round()
    elif mode != "truncate":
        raise ValueError(f"mode must be 'truncate' or 'round', not {mode!r}")
    return levels.byte().permute(0, 2, 3, 1).contiguous()


def random_flip(images: "Tensor", rng: "Generator") -> tuple["Tensor", "Tensor"]:
    """Mirror each image (B, 3, H, W) left to right with probability 1/2, by its own draw from `rng`.

    Returns the images and which of them were mirrored, bool (B,) on the device of `rng`.
    """
    import torch

    mirrored = torch.rand(len(images), generator=rng, device=rng.device) < 0.5
    return torch.where(mirrored.to(images.device)[:, None, None, None], images.flip(-1), images), mirrored
