"""Images -> features: the one road from stored samples to FID, inception score, KID, precision and recall.

Extractors are torch-fidelity's, by its names; `embedded` is registered here beside them. Paper scale uses
`inception-v3-compat` (the Inception of 2015-12-05, as in TensorFlow), small scales use `embedded`.

Shapes: N images, H x W their size, D features of a layer.
"""

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch_fidelity
from torch import Tensor
from torch_fidelity import FeatureExtractorBase
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY
from torch_fidelity.utils import create_feature_extractor
from tqdm import tqdm

from tesserae.data.resizing import resized
from tesserae.encoders.embedded import EmbeddedNetwork

EMBEDDED = "embedded"
INCEPTION = "inception-v3-compat"
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"

# DECISION: at small scales images enter the extractor at 96 pixels. One CPU thread then takes about 1.8 ms per image
# (3.0 ms at 128, 1.1 ms at 64). At all three FID rises steadily with blur and noise of 32- and 64-pixel glyphs; but the
# nearest of 500 glyphs, drawn again elsewhere in 32 x 32 pixels, is the same glyph 87 times in 100 at 96, 93 at 128 and
# only 69 at 64.
EMBEDDED_SIDE = 96

CPU_BATCH = 16  # images in the network at a time: larger batches leave the cache, and 128 take twice as long per image

# DECISION: FID, KID, precision and recall of `embedded` use the 320 channels of its last stage, not the 1280 of its
# head: small scales measure about 1000 images, too few for a covariance of 1280 features (it would be singular), and
# the eigenvalues of a 1280 x 1280 product take 3 to 13 s per FID where those of 320 x 320 take 0.15 to 0.5 s.
EMBEDDED_LAYERS = {"fid": "320", "kid": "320", "prc": "320", "isc": "logits"}


class EmbeddedExtractor(FeatureExtractorBase):
    """The `embedded` network as a torch-fidelity feature extractor: pooled "320", "1280" and "logits", float32."""

    def __init__(
        self,
        name: str,
        features_list: Sequence[str],
        feature_extractor_weights_path: str | Path | None = None,
        feature_extractor_internal_dtype: str | None = None,
        **settings,
    ):
        """torch-fidelity's constructor; `settings` are its settings that do not concern an extractor."""
        super().__init__(name, list(features_list))
        if feature_extractor_internal_dtype not in (None, "float32"):
            raise ValueError(f"{name} computes in float32, not in {feature_extractor_internal_dtype}")
        path = None if feature_extractor_weights_path is None else Path(feature_extractor_weights_path)
        self.network = EmbeddedNetwork(EMBEDDED_SIDE, path)

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        return "320", "1280", "logits"

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        return EMBEDDED_LAYERS[metric]

    @staticmethod
    def can_be_compiled() -> bool:
        return False

    @staticmethod
    def get_dummy_input_for_compile() -> Tensor:
        return torch.zeros(1, 3, EMBEDDED_SIDE, EMBEDDED_SIDE, dtype=torch.uint8)

    def forward(self, input: Tensor) -> tuple[Tensor, ...]:  # the argument's name is torch-fidelity's
        """uint8 (N, 3, H, W) -> one (N, D) per requested feature, in the order of the request."""
        if input.dtype != torch.uint8:
            raise TypeError(f"{self.name} extracts features of uint8 images, not {input.dtype}")
        parts = input.split(CPU_BATCH) if input.device.type == "cpu" else (input,)
        return tuple(torch.cat(features) for features in zip(*map(self._features, parts), strict=True))

    def _features(self, images: Tensor) -> tuple[Tensor, ...]:
        spatial = self.network.spatial(images)
        found = {"320": spatial.mean(dim=(2, 3))}
        if set(self.features_list) - {"320"}:
            found["1280"] = self.network.head(spatial)
            found["logits"] = self.network.classify(found["1280"])
        return tuple(found[name] for name in self.features_list)


def register() -> None:
    """Make `embedded` known to torch-fidelity, so that its own entry points find it too. Twice is as good as once."""
    if EMBEDDED not in FEATURE_EXTRACTORS_REGISTRY:
        torch_fidelity.register_feature_extractor(EMBEDDED, EmbeddedExtractor)


register()


def default_layer(extractor: str, metric: str) -> str:
    """The layer of `extractor` that `metric` ("fid", "kid", "prc" or "isc") uses unless a measure says otherwise."""
    return _extractor_class(extractor).get_default_feature_layer_for_metric(metric)


def extract(
    images: np.ndarray,
    extractor: str,
    layers: Sequence[str],
    batch_size: int,
    device: str | torch.device,
    weights: Path | None = None,
    side: int | None = None,
) -> dict[str, Tensor]:
    """Features of stored images: uint8 (N, H, W, 3), memory-mapped or not -> {layer: float32 (N, D) on the CPU}.

    `extractor` and `layers` are torch-fidelity's names ("embedded": "320", "1280", "logits"; "inception-v3-compat":
    "2048", "logits_unbiased", ...). `weights` names a weights file on disk, for these two; without it `embedded` finds
    its own in the installed package, and torch-fidelity downloads the others. `side`: images of another one are resized
    to it first, bicubic as PIL does it, each rounded to uint8.

    Raises TypeError or ValueError for images of another dtype or shape, ValueError for an unknown extractor or layer or
    a damaged weights file, FileNotFoundError for a missing one, and RuntimeError if a download is not possible.
    """
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        found = images.dtype if isinstance(images, np.ndarray) else type(images).__name__
        raise TypeError(f"images must be a uint8 array, not {found}")
    if images.ndim != 4 or images.shape[-1] != 3 or 0 in images.shape:
        raise ValueError(f"images must be (N, H, W, 3) with N > 0, not {images.shape}")
    if batch_size < 1:
        raise ValueError(f"the batch size must be positive, not {batch_size}")
    network = load_extractor(extractor, tuple(layers), str(device), weights)
    batches: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    progress = tqdm(total=len(images), desc=f"{extractor} features", unit="image", mininterval=1.0)
    with progress, torch.inference_mode():
        for start in range(0, len(images), batch_size):
            some = np.array(images[start : start + batch_size])
            batch = torch.from_numpy(some if side is None else resized(some, side)).permute(0, 3, 1, 2)
            for layer, values in network.convert_features_tuple_to_dict(network(batch.to(device))).items():
                batches[layer].append(values.float().cpu())
            progress.update(len(batch))
    return {layer: torch.cat(parts) for layer, parts in batches.items()}


@functools.lru_cache(maxsize=2)
def load_extractor(name: str, layers: tuple[str, ...], device: str, weights: Path | None) -> FeatureExtractorBase:
    """torch-fidelity's extractor, frozen, on the device; the last two are kept. Errors as `extract`."""
    provided = _extractor_class(name).get_provided_features_list()
    if not layers or len(set(layers)) != len(layers) or not set(layers) <= set(provided):
        raise ValueError(f"{name} provides the layers {', '.join(provided)}: choose some, each once, not {layers}")
    if weights is not None and name == INCEPTION:
        _check_inception_weights(weights)
    elif weights is not None and name != EMBEDDED:
        raise ValueError(f"a weights file can be given for {EMBEDDED} and {INCEPTION} (known checksums), not {name}")
    path = None if weights is None else str(weights)
    try:
        network = create_feature_extractor(
            name, list(layers), cuda=False, feature_extractor_weights_path=path, verbose=False
        )
    except OSError as error:  # urllib's errors are OSErrors; those about files name them already
        if isinstance(error, FileNotFoundError):
            raise
        source = f" ({URL_INCEPTION_V3})" if name == INCEPTION else ""
        raise RuntimeError(
            f"the weights of {name} could not be downloaded{source}: {error}; "
            "on a machine without network, fetch the file elsewhere and pass its path as `weights`"
        ) from error
    return network.to(device)


def _extractor_class(name: str) -> type[FeatureExtractorBase]:
    if name not in FEATURE_EXTRACTORS_REGISTRY:
        raise ValueError(f"unknown feature extractor {name}; known: {', '.join(sorted(FEATURE_EXTRACTORS_REGISTRY))}")
    return FEATURE_EXTRACTORS_REGISTRY[name]


def _check_inception_weights(path: Path) -> None:
    """torch-fidelity unpickles the file without restrictions, so only the published bytes may reach it."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"the weights of {INCEPTION} are not at {path}; published at {URL_INCEPTION_V3}")
    with Path(path).open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != INCEPTION_SHA256:
        raise ValueError(
            f"{path} is not the file published at {URL_INCEPTION_V3}: its sha256 is {found}, not {INCEPTION_SHA256}"
        )
