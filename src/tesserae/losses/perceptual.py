"""Perceptual losses: distances of images in the features of frozen networks, which are never part of a model's state.

`lpips+convnext` is l-DeTok's (Eq. 6): VGG-LPIPS and ConvNeXt logits, (1.0 LPIPS + 0.1 ConvNeXt) / 1.1. `lpips` is its
first part alone, as latent diffusion takes it, `convnext` its second, as TiTok's decoder fine-tuning. `lite2` stands in
for all at the small scales, where nothing may be downloaded: LPIPS in the first stages of a network that comes in a
package.

Sources: LPIPS (arXiv 1801.03924, Sec. 3) with the linear heads of taming-transformers; the ConvNeXt term and the two
weights are those of the TiTok code base, which l-DeTok says it follows (Sec. A.1, reference 69).

Shapes: B batch, S image side. Images are float (B, 3, S, S) in [-1, 1], in ConvNeXtDistance and PerceptualLoss in
[0, 1]; reconstructions may leave that range. Of a target and a prediction only the prediction receives a gradient.
"""

import functools
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LPIPS_WEIGHT, CONVNEXT_WEIGHT = 1.0, 0.1
CONVNEXT_SIDE = 224
EARLY_STAGES, SMALLEST_SIDE = 2, 48  # of EfficientNet-Lite2, and of the images that it sees: docs/perceptual.md

VGG16_CHANNELS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))  # arXiv 1409.1556, Tab. 1 D

FOLDER_VARIABLE = "TESSERAE_WEIGHTS"

# role -> file name, hash and the start of its digest, where it comes from
FILES = {
    "vgg": ("vgg16-397923af.pth", "sha256", "397923af", "torchvision's VGG16_Weights.IMAGENET1K_V1"),
    "heads": (
        "vgg.pth",
        "md5",
        "d507d7349b931f0638a25a48a722f98a",
        "the LPIPS heads of CompVis/taming-transformers (taming/util.py fetches them as `vgg_lpips`)",
    ),
    "convnext": (
        "convnext_small-0c510722.pth",
        "sha256",
        "0c510722",
        "torchvision's ConvNeXt_Small_Weights.IMAGENET1K_V1",
    ),
}


def weights_folder() -> Path | None:
    """The folder named by TESSERAE_WEIGHTS, or None where it is not set."""
    folder = os.environ.get(FOLDER_VARIABLE)
    return Path(folder) if folder else None


def missing_weights(folder: Path | None, roles: Sequence[str] = tuple(FILES)) -> list[str]:
    """One line for each file that the pretrained loss needs and `folder` lacks; empty if all are there."""
    lines = []
    for name, _, _, origin in (FILES[role] for role in roles):
        if folder is None or not (folder / name).is_file():
            place = f"${FOLDER_VARIABLE}/{name}" if folder is None else str(folder / name)
            lines.append(f"{name}: expected at {place}; get it from {origin}")
    return lines


def require_weights(folder: Path | None, roles: Sequence[str] = tuple(FILES)) -> Path:
    """`folder`, if it has all files. Raises FileNotFoundError that names every missing one and the remedy."""
    if missing := missing_weights(folder, roles):
        raise FileNotFoundError(
            "the perceptual loss needs pretrained weights that are not there:\n  "
            + "\n  ".join(missing)
            + f"\n  remedy: put them into one folder and set {FOLDER_VARIABLE} to it,"
            + " or set `perceptual: lite2`, which needs none of them, or `none` in the recipe or the scale"
        )
    return folder


def _read(folder: Path, role: str) -> dict[str, Tensor]:
    name, algorithm, digest, origin = FILES[role]
    path = folder / name
    with path.open("rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    if not found.startswith(digest):
        raise ValueError(f"{path}: its {algorithm} is {found}, expected {digest}; fetch it again from {origin}")
    return torch.load(path, map_location="cpu", weights_only=True)


class LPIPS(nn.Module):
    """Distance of two batches (B, 3, S, S) in [-1, 1] -> (B,), from five VGG16 stages (arXiv 1801.03924, Eq. 1)."""

    def __init__(self):
        super().__init__()
        self.stages = nn.ModuleList()
        before = 3
        for i, channels in enumerate(VGG16_CHANNELS):
            modules: list[nn.Module] = [nn.MaxPool2d(2)] if i else []
            for width in channels:
                modules += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU(inplace=True)]
                before = width
            self.stages.append(nn.Sequential(*modules))
        self.heads = nn.ModuleList(nn.Conv2d(channels[-1], 1, 1, bias=False) for channels in VGG16_CHANNELS)
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]).view(3, 1, 1), persistent=False)

    def load_pretrained(self, vgg: dict[str, Tensor], heads: dict[str, Tensor]) -> None:
        """Take torchvision's `features.{i}.*` in order, and the heads `lin{k}.model.1.weight`."""
        convolutions = [module for module in self.stages.modules() if isinstance(module, nn.Conv2d)]
        names = sorted({int(key.split(".")[1]) for key in vgg if key.startswith("features.")})
        for module, i in zip(convolutions, names, strict=True):
            module.load_state_dict({part: vgg[f"features.{i}.{part}"] for part in ("weight", "bias")})
        for k, head in enumerate(self.heads):
            head.load_state_dict({"weight": heads[f"lin{k}.model.1.weight"]})

    def features(self, images: Tensor) -> list[Tensor]:
        """The last ReLU of each stage, of unit length along channels."""
        x, outputs = (images - self.shift) / self.scale, []
        for stage in self.stages:
            x = stage(x)
            outputs.append(x / (x.square().sum(dim=1, keepdim=True).sqrt() + 1e-10))
        return outputs

    def forward(self, target: Tensor, prediction: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = self.features(target)
        pairs = zip(self.heads, wanted, self.features(prediction), strict=True)
        return sum(head((a - b).square()).mean(dim=(1, 2, 3)) for head, a, b in pairs)


class ConvNeXtDistance(nn.Module):
    """Mean squared difference of the 1000 logits of ConvNeXt-Small (arXiv 2201.03545), images in [0, 1] -> 0-d."""

    def __init__(self):
        super().__init__()
        from torchvision.models import convnext_small  # takes seconds to import, and most runs do without

        self.net = convnext_small(weights=None)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1), persistent=False)

    def logits(self, images: Tensor) -> Tensor:
        x = F.interpolate(images, size=(CONVNEXT_SIDE, CONVNEXT_SIDE), mode="bilinear", antialias=True)
        return self.net((x - self.mean) / self.std)

    def forward(self, target: Tensor, prediction: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = self.logits(target)
        return F.mse_loss(self.logits(prediction), wanted)


class PerceptualLoss(nn.Module):
    """Both terms, frozen and in evaluation mode; the weights are random until `load_pretrained`."""

    def __init__(self):
        super().__init__()
        self.lpips, self.convnext = LPIPS(), ConvNeXtDistance()
        self.requires_grad_(False).eval()

    def load_pretrained(self, folder: Path) -> "PerceptualLoss":
        """Read FILES from `folder`. Raises FileNotFoundError as require_weights, ValueError for another checksum."""
        require_weights(folder)
        self.lpips.load_pretrained(_read(folder, "vgg"), _read(folder, "heads"))
        self.convnext.net.load_state_dict(_read(folder, "convnext"))
        return self

    def forward(self, target: Tensor, prediction: Tensor) -> Tensor:
        """Target and prediction (B, 3, S, S), [0, 1] -> 0-d. Only the prediction receives a gradient."""
        lpips = self.lpips(2 * target - 1, 2 * prediction - 1).mean()
        convnext = self.convnext(target, prediction)
        return (LPIPS_WEIGHT * lpips + CONVNEXT_WEIGHT * convnext) / (LPIPS_WEIGHT + CONVNEXT_WEIGHT)


class EarlyStages(nn.Module):
    """Distance of two batches (B, 3, S, S) in [-1, 1] -> (B,), from the first stages of EfficientNet-Lite2.

    LPIPS (arXiv 1801.03924, Eq. 1) of another network and without learned heads: of features of unit length along
    channels the squared difference, summed over channels; its mean over positions and over stages. From 0 to 4. Images
    with sides below `smallest` are enlarged to it.
    """

    def __init__(self, stages: int = EARLY_STAGES, smallest: int = SMALLEST_SIDE):
        super().__init__()
        self.stages, self.smallest = stages, smallest
        from tesserae.encoders.embedded import EmbeddedNetwork  # timm takes seconds to import, and most runs do without

        self.network = EmbeddedNetwork(None, name="lite2")

    def features(self, images: Tensor) -> list[Tensor]:
        """The linear outputs of the stages, of unit length along channels."""
        if images.shape[-1] < self.smallest:
            images = F.interpolate(images, (self.smallest, self.smallest), mode="bilinear")
        return [F.normalize(maps, dim=1) for maps in self.network.stages(images, self.stages)]

    def forward(self, target: Tensor, prediction: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = self.features(target)
        return self.distance(wanted, prediction)

    def distance(self, wanted: list[Tensor], prediction: Tensor) -> Tensor:
        """The same from the target's features."""
        pairs = zip(wanted, self.features(prediction), strict=True)
        return sum((a - b).square().sum(dim=1).mean(dim=(1, 2)) for a, b in pairs) / self.stages


# ---- by name ----------------------------------------------------------------------------------------------------

# (target, prediction), both (B, 3, S, S) in [-1, 1] -> 0-d, the mean over images
Distance = Callable[[Tensor, Tensor], Tensor]


def perceptual_loss(kind: str, weight: float) -> Distance | None:
    """The loss called `kind`, one of LOSSES; None for "none" and where its weight is 0. ValueError for another name.

    Its networks are read once per process and device, at the first call.
    """
    if kind not in ("none", *LOSSES):
        raise ValueError(f"unknown perceptual loss {kind!r}")
    return LOSSES[kind] if kind != "none" and weight > 0 else None


def pretrained_perceptual_loss(target: Tensor, prediction: Tensor) -> Tensor:
    """PerceptualLoss of images in [-1, 1] with the files of TESSERAE_WEIGHTS."""
    return _pretrained(weights_folder(), target.device)(target * 0.5 + 0.5, prediction * 0.5 + 0.5)


@functools.cache
def _pretrained(folder: Path | None, device: torch.device) -> PerceptualLoss:
    folder = require_weights(folder)  # before two networks are built
    return PerceptualLoss().load_pretrained(folder).to(device)


def pretrained_lpips(target: Tensor, prediction: Tensor) -> Tensor:
    """LPIPS alone, as latent diffusion takes it. Of the files of TESSERAE_WEIGHTS it needs two."""
    return _pretrained_lpips(weights_folder(), target.device)(target, prediction).mean()


@functools.cache
def _pretrained_lpips(folder: Path | None, device: torch.device) -> LPIPS:
    folder = require_weights(folder, ("vgg", "heads"))
    network = LPIPS().requires_grad_(False).eval()
    network.load_pretrained(_read(folder, "vgg"), _read(folder, "heads"))
    return network.to(device)


def pretrained_convnext(target: Tensor, prediction: Tensor) -> Tensor:
    """The distance of ConvNeXt's logits alone, unweighted. Of the files of TESSERAE_WEIGHTS it needs one."""
    return _pretrained_convnext(weights_folder(), target.device)(target * 0.5 + 0.5, prediction * 0.5 + 0.5)


@functools.cache
def _pretrained_convnext(folder: Path | None, device: torch.device) -> ConvNeXtDistance:
    folder = require_weights(folder, ("convnext",))
    network = ConvNeXtDistance().requires_grad_(False).eval()
    network.net.load_state_dict(_read(folder, "convnext"))
    return network.to(device)


def lite2_distance(target: Tensor, prediction: Tensor) -> Tensor:
    """EarlyStages, whose weights come in a package."""
    return _lite2(target.device)(target, prediction).mean()


@functools.cache
def _lite2(device: torch.device) -> EarlyStages:
    return EarlyStages().to(device)


LOSSES: dict[str, Distance] = {
    "lpips": pretrained_lpips,
    "lpips+convnext": pretrained_perceptual_loss,
    "convnext": pretrained_convnext,
    "lite2": lite2_distance,
}
