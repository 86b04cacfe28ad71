"""VA-VAE (arXiv 2501.01423, Sec. 3): latent diffusion's first stage whose latents are pulled towards the features of a
vision foundation model. The network and the other losses are those of first_stage.py.

Shapes: as there, and F channels of the features.
"""

from collections.abc import Callable
from typing import Literal, TypedDict

from torch import Tensor, nn

from tesserae.encoders.foundation import CHANNELS, spatial_features
from tesserae.losses.adversarial import adaptive_weight
from tesserae.losses.alignment import marginal_cosine, marginal_distance_matrix
from tesserae.tokenizers.first_stage import FirstStage, Reconstruction

LARGEST_ALIGNMENT_WEIGHT = 1e8  # official code


class Alignment(TypedDict):
    weight: float  # w_hyper; the adaptive weight multiplies it
    cosine_margin: float
    distance_margin: float


class VAVAE(FirstStage):
    """A FirstStage with the alignment loss. `linear_proj` maps latents to features and belongs to training alone.

    The frozen foundation model is in no state dict and is read at first use.
    """

    TRAINING_ONLY = (*FirstStage.TRAINING_ONLY, "linear_proj.")

    def __init__(self, *, foundation: Literal["dinov2", "lite2", "embedded"], alignment: Alignment, **settings):
        super().__init__(**settings)
        if foundation not in CHANNELS:
            raise ValueError(f"unknown foundation model {foundation!r}")
        self.foundation, self.alignment = foundation, dict(alignment)
        self.features: Callable[[str, Tensor, int], Tensor] = spatial_features
        self.linear_proj = nn.Conv2d(settings["latent_channels"], CHANNELS[foundation], 1, bias=False)

    def terms(self, images: Tensor, output: Reconstruction, adversarial: bool) -> dict[str, Tensor]:
        """Those of FirstStage and, while the encoder learns, "alignment"."""
        terms = super().terms(images, output, adversarial)
        last = self.encoder.conv_out.weight
        if not last.requires_grad:
            return terms
        latents = self.to_maps(output.latents)  # (B, M, H, H)
        features = self.features(self.foundation, images, latents.shape[-1])  # (B, F, H, H)
        projected, margins = self.linear_proj(latents), self.alignment
        alignment = marginal_cosine(projected, features, margins["cosine_margin"])
        alignment = alignment + marginal_distance_matrix(projected, features, margins["distance_margin"])
        fidelity = sum(terms[name] for name in ("reconstruction", "perceptual") if name in terms)
        scale = adaptive_weight(fidelity, alignment, last, LARGEST_ALIGNMENT_WEIGHT)
        terms["alignment"] = margins["weight"] * scale * alignment
        return terms

    def freeze_encoder(self) -> None:
        """Leave only the decoder to train, and nothing to align."""
        super().freeze_encoder()
        self.linear_proj.requires_grad_(False)


def build(spec: dict) -> VAVAE:
    """The tokenizer of a resolved recipe: `spec` holds the keywords of VAVAE."""
    return VAVAE(**spec)
