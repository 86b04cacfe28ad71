"""What tokenizers share that decode by a flow: patches, an encoder with registers, and a transformer that turns noise
into patches and reads the tokens of the image (flextok_like.py, selftok_like.py).

A flow learns on the pixels of patches themselves. DEPARTS: FlexTok and SelfTok work on the latents of a large first
stage, which small images do not need. Decoding draws noise that follows from the codes.

Shapes: B images (B, 3, S, S), P patches of p values, N tokens, d values of a token, D width, W of a teacher's features.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, TypedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.diffusion.clean_prediction import Predicts, as_velocity
from tesserae.diffusion.flow import draw_noise, path, path_velocity
from tesserae.diffusion.integrators import euler
from tesserae.diffusion.projected_guidance import ProjectedGuidance, Projection
from tesserae.nn.conditioned_transformer import ConditionedTransformer, Said
from tesserae.nn.hashing import normals, seeds_of
from tesserae.nn.patches import patchify, unpatchify
from tesserae.nn.register_encoder import RegisterEncoder
from tesserae.nn.sizes import TransformerSize
from tesserae.quantizers.vector import codebook_health

NOT_DECAYED = ("registers", "pos_embed", "embedding", "_token")


class Coded(NamedTuple):
    vectors: Tensor  # float32 (B, N, d), whose gradient goes to what was quantised
    codes: Tensor  # int64 (B, N)
    terms: dict[str, Tensor]  # the quantiser's own losses, weighted


class Condition(NamedTuple):
    """What the decoder reads of an image."""

    tokens: Tensor  # (B, N, D)
    visible: Tensor | None  # bool (B, N); None: all


class FlowSettings(TypedDict):
    steps: int  # of Euler's method when it decodes
    guidance: float  # 1: none
    projection: Projection  # of what guidance adds; {momentum: 0, norm_limit: 0, parallel: 1} is none
    null_probability: float  # of an image whose tokens the decoder does not get in training
    predicts: Predicts
    gate_start: float  # first bias of the decoder's gates; 0 in the papers


class FlowTokenizer(nn.Module):
    """A tokenizer and its losses, around its own quantiser and its own way to show tokens to the decoder.

    Subclasses bring `coded`, `lookup`, `draw_times`, `shown` (a condition in training, or at use if there is no `rng`)
    and `nothing` (the condition of guidance).
    """

    TRAINING_ONLY: tuple[str, ...] = ()  # prefixes of what is not part of the tokenizer

    def __init__(
        self,
        *,
        image_size: int,
        patch_size: int,
        latent_tokens: int,
        code_width: int,
        vocabulary: int,
        encoder: TransformerSize,
        decoder: TransformerSize,
        causal: bool,
        flow: FlowSettings,
    ):
        super().__init__()
        if image_size % patch_size:
            raise ValueError(f"image side {image_size} is not divisible by patches of {patch_size}")
        if not 0 <= flow["null_probability"] < 1:
            raise ValueError(f"null_probability must be from 0 to 1, not {flow['null_probability']}")
        if flow["guidance"] != 1 and not flow["null_probability"]:
            raise ValueError("guidance needs a null_probability: else the decoder never learns to do without tokens")
        self.patch_size, self.grid = patch_size, image_size // patch_size
        self.tokens, self.vocabulary, self.flow, self.aligned_block = latent_tokens, vocabulary, dict(flow), 0
        patches, values = self.grid**2, 3 * patch_size**2
        self.encoder = RegisterEncoder(encoder, patches, values, latent_tokens, code_width, causal=causal)
        self.decoder = ConditionedTransformer(decoder, patches, values, latent_tokens, code_width, flow["gate_start"])

    # ---- what differs -------------------------------------------------------------------------------------------

    def coded(self, latents: Tensor) -> Coded:
        """(B, N, d) -> what is left of it."""
        raise NotImplementedError

    def lookup(self, codes: Tensor) -> Tensor:
        """Codes int64 (B, N) -> float32 (B, N, d)."""
        raise NotImplementedError

    def draw_times(self, patches: Tensor, rng: torch.Generator) -> Tensor:
        """A time for each image, (B,), in [0, 1], 0 being noise."""
        raise NotImplementedError

    def shown(self, vectors: Tensor, t: Tensor, rng: torch.Generator | None, kept: Tensor | None = None) -> Condition:
        """Vectors (B, N, d) at times (B,); `kept` (B,): only so many first tokens."""
        raise NotImplementedError

    def nothing(self, vectors: Tensor) -> Condition:
        """The condition that says nothing of the image."""
        raise NotImplementedError

    # ---- use ----------------------------------------------------------------------------------------------------

    def latents(self, images: Tensor) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] -> what is quantised, (B, N, d)."""
        return self.encoder(patchify(images, self.patch_size))

    def encode(self, images: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] -> codes int64 (B, N). Nothing is drawn: `rng` is not used."""
        return self.coded(self.latents(images)).codes

    def code_vectors(self, codes: Tensor) -> Tensor:
        """Codes int64 (B, N) -> what they stand for, float32 (B, N, d)."""
        return self.lookup(codes)

    def decode(self, codes: Tensor, *, kept: Tensor | None = None) -> Tensor:
        """Codes int64 (B, N) -> images (B, 3, S, S), about [-1, 1], not clamped; of the first `kept` (B,) tokens."""
        # DEPARTS: the official codes draw from one stream, so that the same codes make another image every time.
        noise = normals(seeds_of(codes), 0, (self.grid**2, 3 * self.patch_size**2))
        return self.generated(self.code_vectors(codes), noise, kept)

    def generated(self, vectors: Tensor, noise: Tensor, kept: Tensor | None = None) -> Tensor:
        """Entries (B, N, d), and noise (B, P, p) at t = 0 -> images (B, 3, S, S)."""
        times, guidance = torch.linspace(0, 1, self.flow["steps"] + 1, device=noise.device), self.flow["guidance"]
        guide = ProjectedGuidance(guidance, self.flow["projection"]) if guidance != 1 else None

        def velocity(x: Tensor, t: Tensor) -> Tensor:
            t = t.expand(len(x))
            informed = self.velocity(x, t, self.shown(vectors, t, None, kept))
            return informed if guide is None else guide(informed, self.velocity(x, t, self.nothing(vectors)))

        return unpatchify(euler(velocity, noise, times), self.patch_size, self.grid)

    def velocity(self, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """Noisy patches (B, P, p) at times (B,) -> velocities, float32."""
        return as_velocity(self.said(x, t, condition).patches, x, t, self.flow["predicts"])

    def said(self, x: Tensor, t: Tensor, condition: Condition) -> Said:
        """The decoder's own words, and patches (B, P, D) after `aligned_block`."""
        return self.decoder(x, t, condition.tokens, visible=condition.visible, after=self.aligned_block)

    # ---- training -----------------------------------------------------------------------------------------------

    def losses(self, batch: dict, step: int, rng: torch.Generator) -> Iterator[tuple]:
        """Weighted terms of the one update, and usage and perplexity of the codes in these images.

        batch["images"] (B, 3, S, S) in [-1, 1]; losses are float32, means over patches and their values. The flow's is
        the error of what the decoder predicts: of an image it is that of its velocity times (1 - t)^2.
        """
        patches = patchify(batch["images"].float(), self.patch_size)
        coded = self.coded(self.encoder(patches))
        noise, t = draw_noise(patches, rng), self.draw_times(patches, rng)
        condition = self.shown(coded.vectors, t, rng)
        said = self.said(path(patches, noise, t), t, condition)
        wanted = path_velocity(patches, noise) if self.flow["predicts"] == "velocity" else patches
        with torch.autocast(patches.device.type, enabled=False):
            terms = {"flow": F.mse_loss(said.patches.float(), wanted)}
            terms |= coded.terms | self.further_terms(said.hidden, batch)
        yield "autoencoder", terms, codebook_health(coded.codes, self.vocabulary)

    def further_terms(self, hidden: Tensor, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Weighted losses beside the flow's and the quantiser's; `hidden` patches (B, P, D) of `aligned_block`."""
        return {}

    def freeze_encoder(self) -> None:
        """Leave only the decoder to train: codes stay what they are."""
        self.encoder.requires_grad_(False)

    def parameter_groups(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        """The one group and its trainable parameters."""
        return {"autoencoder": [(name, p) for name, p in self.named_parameters() if p.requires_grad]}

    def no_weight_decay(self, name: str, parameter: nn.Parameter) -> bool:
        """Vectors, registers, positions, single tokens and codebooks."""
        return parameter.ndim < 2 or any(word in name for word in NOT_DECAYED)

    def drop(self, count: int, rng: torch.Generator, device: torch.device) -> Tensor:
        """Which of `count` images the decoder gets no tokens of, bool (count,)."""
        drawn = torch.rand(count, generator=rng, device=rng.device).to(device)
        return drawn < self.flow["null_probability"]
