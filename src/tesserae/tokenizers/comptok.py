"""CompTok (arXiv 2602.03339): concept tokens of an image, a diffusion decoder that reads them, and three losses that
ask it to use every token and to draw images of tokens mixed from two.

There is no official code. Under the three losses (comptok_composing.py) the tokenizer is Semanticist (arXiv
2503.08685), with whose code encoder, decoder and their losses agree; with nested dropout and without the three this
file is Semanticist.

Shapes: B images of side S in [-1, 1]; latents of a frozen first stage, C channels of H x H values, as (B, P, s, C): P
patches of s = p * p values; K concept tokens of d values; n images with the three losses; T steps of the diffusion.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.diffusion.ddim import ddim
from tesserae.diffusion.ddpm import DDPMSampler, guide
from tesserae.diffusion.gaussian import GaussianDiffusion, make_betas
from tesserae.encoders.teachers import CHANNELS
from tesserae.losses.representation import representation_loss
from tesserae.nn.hashing import normals, seeds_of
from tesserae.nn.latent_autoencoder import LatentAutoencoder
from tesserae.nn.nested_dropout import draw_kept, first
from tesserae.nn.patch_components import PatchComponents
from tesserae.nn.patches import patchify, unpatchify
from tesserae.nn.sizes import TransformerSize
from tesserae.quantizers.gaussian import LOGVAR_MIN, GaussianPosterior
from tesserae.tokenizers.comptok_composing import Adversarial, Auxiliary, Composing, LossWeights, draw_noise
from tesserae.tokenizers.comptok_decoder import ConceptDecoder, Critic
from tesserae.tokenizers.comptok_encoder import ConceptEncoder, Recogniser

CRITIC = "composing.critic."  # what its parameters' names begin with
SPREAD_EPS = 1e-6  # DECISION (D06): added to a token's deviation; Semanticist's code adds nothing
SEEDING = 64  # values of an image's tokens on which the noise depends from which it is decoded
SEEDING_STEP = 0.25  # and how finely: rounding errors, which differ from batch to batch, are far below


class Sampling(TypedDict):
    """How tokens are decoded at use."""

    method: Literal["ddpm", "ddim"]
    steps: int
    guidance: float  # 1: none
    x0_limit: float | None


def spread_of_one(z: Tensor) -> Tensor:
    """Each token of z (..., d) less its mean, over its deviation, which is the unbiased one: norm sqrt(d - 1)."""
    z = z.float()
    return (z - z.mean(dim=-1, keepdim=True)) / (z.std(dim=-1, keepdim=True) + SPREAD_EPS)


class CompTok(nn.Module):
    """The tokenizer and its losses. Q and the critic are there only where a loss asks for them.

    The first stage is a part of the network that is never trained: `take_first_stage` gives it its weights. Raises
    ValueError for sizes that do not fit one another.
    """

    ADDED = ("composing.",)  # what a training that continues one without the three losses begins with anew

    def __init__(
        self,
        *,
        image_size: int,
        patch_size: int,
        concept_tokens: int,
        token_width: int,
        concept_positions: bool,  # whether the decoder learns which concept token is which
        drop_path: float,
        encoder: TransformerSize,
        decoder: TransformerSize,
        recogniser: TransformerSize | None,
        critic: TransformerSize | None,
        decoder_patch: int,
        first_stage: Mapping[str, Any],  # keywords of LatentAutoencoder, or of PatchComponents
        latent_scale: float | None,  # of the first stage's latents; None: such that their variance is 1
        prediction: Literal["noise", "velocity", "clean"],
        diffusion_steps: int,
        null_probability: float,
        nested_start_step: int | None,  # from which each image keeps its first tokens alone; None: never
        aligned_block: int,
        projector_width: int,
        teacher_side: int,
        teacher: str | None,  # one of encoders.teachers.CHANNELS; None where no loss needs it
        loss_weights: LossWeights,
        auxiliary: Auxiliary,
        auxiliary_start_step: int | None,  # of the three losses; None: never
        adversarial: Adversarial,
        transport_steps: int | None,
        sampling: Sampling,
    ):
        super().__init__()
        self.first_stage, pixels, channels = first_stage_of(first_stage)
        for part, side in (("encoder", patch_size), ("decoder", pixels * decoder_patch)):
            if image_size % side:
                raise ValueError(
                    f"image side {image_size} is not divisible by the {side} pixels of a patch of the {part}"
                )
        if min(concept_tokens, token_width) < 2:
            raise ValueError(f"{concept_tokens} tokens of {token_width} values: both have to be at least 2")
        if loss_weights["representation"] and teacher not in CHANNELS:
            raise ValueError(f"a weight of `representation` needs a teacher, one of {', '.join(CHANNELS)}: {teacher!r}")
        if sampling["guidance"] != 1 and not null_probability:
            raise ValueError("guidance needs a null_probability: else the decoder never learns to do without tokens")
        self.image_size, self.tokens, self.latent_channels = image_size, concept_tokens, token_width
        self.side, self.decoder_patch = image_size // pixels, decoder_patch
        self.grid = self.side // decoder_patch
        self.latent_shape = (self.grid**2, decoder_patch**2, channels)  # (P, s, C)
        self.null_probability, self.nested_start_step = null_probability, nested_start_step
        self.start, self.x0_limit, self.sampling = auxiliary_start_step, auxiliary["x0_limit"], dict(sampling)
        self.variance, self.representation = loss_weights["variance"], loss_weights["representation"]
        self.teacher_side = teacher_side if self.representation else 0
        self.scale_is_computed = latent_scale is None
        self.register_buffer("latent_scale", torch.tensor(latent_scale or 1.0))
        self.diffusion = GaussianDiffusion(make_betas("linear", diffusion_steps), prediction)
        self.encoder = ConceptEncoder(encoder, image_size, patch_size, concept_tokens, drop_path)
        self.encoder2slot = nn.Linear(encoder["width"], token_width)
        latents = {"grid": self.grid, "patch_size": decoder_patch, "channels": channels}
        self.dit = ConceptDecoder(
            decoder,
            **latents,
            concepts=concept_tokens,
            token_width=token_width,
            concept_positions=concept_positions,
            aligned_block=aligned_block if self.representation else 0,
            projector_width=projector_width,
            teacher_width=CHANNELS[teacher] if self.representation else None,
        )
        self.composing = None
        if auxiliary_start_step is not None:
            self.composing = Composing(
                recogniser=lambda: Recogniser(recogniser, self.side, channels, concept_tokens, token_width),
                critic=lambda: Critic(critic, **latents),
                diffusion=self.diffusion,
                loss_weights=loss_weights,
                auxiliary=auxiliary,
                adversarial=adversarial,
                transport_steps=transport_steps,
            )
            self.auxiliary_steps = auxiliary["steps"]

    def place_tokens(self) -> None:
        """Learned positions of what stands on a grid start as those of a grid. Not in the papers."""
        self.encoder.place_tokens()
        self.dit.place_tokens()
        if self.composing is not None and self.composing.informs:
            self.composing.recogniser.place_tokens()

    # ---- first stage --------------------------------------------------------------------------------------------

    @torch.no_grad()
    def take_first_stage(self, weights: Mapping[str, Tensor], images: Tensor) -> None:
        """Copy the first stage's weights, by the names of `FirstStage`; images (M, 3, S, S) say how large latents are.

        ValueError if the weights are those of another network.
        """
        wanted = self.first_stage.state_dict()
        found = {name: tensor for name, tensor in weights.items() if not name.startswith("discriminator.")}
        odd = sorted(wanted.keys() ^ found.keys()) or [
            name for name, tensor in wanted.items() if tensor.shape != found[name].shape
        ]
        if odd:
            raise ValueError(f"these weights are not of the first stage that the recipe names: {', '.join(odd[:5])}")
        self.first_stage.load_state_dict(found)
        if self.scale_is_computed:
            mean, deviation = self.first_stage.posterior(images)
            # Of what is drawn: variance of the means and that of each posterior.
            self.latent_scale.copy_((mean.var() + deviation.square().mean()).rsqrt())

    def squares(self, maps: Tensor) -> Tensor:
        """Latent maps (B, C, H, H) -> (B, P, s, C)."""
        return patchify(maps, self.decoder_patch).unflatten(2, self.latent_shape[1:])

    def maps(self, latents: Tensor) -> Tensor:
        """The inverse of `squares`."""
        return unpatchify(latents.flatten(2), self.decoder_patch, self.grid)

    @torch.no_grad()
    def latents(self, images: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] -> scaled latents (B, P, s, C): drawn, or without `rng` posterior means."""
        mean, deviation = self.first_stage.posterior(images)
        if rng is not None:
            noise = torch.randn(mean.shape, generator=rng, device=rng.device).to(mean.device)
            mean = torch.addcmul(mean, deviation, noise)
        return self.squares(self.latent_scale * mean)

    def images(self, latents: Tensor) -> Tensor:
        """Scaled latents (B, P, s, C) -> images (B, 3, S, S), about [-1, 1], not clamped."""
        return self.first_stage.decode(self.maps(latents) / self.latent_scale)

    # ---- use ----------------------------------------------------------------------------------------------------

    def encode(self, images: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] -> tokens (B, K, d), float32. Nothing is drawn: `rng` is not used."""
        return spread_of_one(self.encoder2slot(self.encoder(images * 0.5 + 0.5)))

    def posterior(self, images: Tensor) -> GaussianPosterior:
        """Images (B, 3, S, S) in [-1, 1] -> posterior (B, K, d) of no width: the tokens are deterministic."""
        tokens = self.encode(images)
        return GaussianPosterior(tokens, torch.full_like(tokens, LOGVAR_MIN))

    def decode(self, tokens: Tensor) -> Tensor:
        """Tokens (B, K, d) -> images (B, 3, S, S), about [-1, 1], not clamped. Noise follows from the tokens.

        Tokens that are NaN are absent: the decoder does without them.
        """
        return self.images(self.drawn_latents(torch.where(tokens.isnan(), self.dit.null_cond, tokens)))

    def drawn_latents(self, tokens: Tensor) -> Tensor:
        """Tokens (B, K, d) -> latents (B, P, s, C), as the recipe's `sampling` says."""
        seeds = seeds_of((tokens.flatten(1)[:, :SEEDING] / SEEDING_STEP).round().long())
        values = 2 * self.grid**2 * self.latent_shape[1] * self.latent_shape[2]  # uniform numbers of one noise

        def noise(number: int) -> Tensor:
            return normals(seeds, number * values, self.latent_shape)

        how = self.sampling
        if how["method"] == "ddim":
            return ddim(
                lambda x, t: self._guided(x, t, tokens).chunk(2, dim=-1)[0],
                noise(0),
                self.diffusion,
                steps=how["steps"],
                x0_limit=how["x0_limit"],
            )
        sampler, x = DDPMSampler(self.diffusion, how["steps"], how["x0_limit"]), noise(0)
        for i in reversed(range(sampler.steps)):
            output = self._guided(x, sampler.timesteps[i], tokens)
            x = sampler.step(x, output, i, noise(sampler.steps - i) if i else None, temperature=1.0)
        return x

    def _guided(self, x: Tensor, t: int, tokens: Tensor) -> Tensor:
        """Latents x (B, P, s, C) at a training step -> (B, P, s, 2C)."""
        times, guidance = torch.full((1,), t, device=x.device), self.sampling["guidance"]
        if guidance == 1:
            return self.dit(x, times, tokens).output.float()
        both = torch.cat([tokens, self.dit.null_cond.expand(len(tokens), -1, -1)])
        return guide(*self.dit(torch.cat([x, x]), times, both).output.float().chunk(2), guidance)

    def fast_latents(self, tokens: Tensor, noise: Tensor, steps: int, *, recompute: bool = True) -> Tensor:
        """Tokens (B, K, d) and noise (B, P, s, C) -> latents (B, P, s, C) in few steps, with a gradient.

        `recompute`: in the backward pass steps are evaluated again, and no more than the graph of one is held at once.
        """

        # DECISION (D14): deterministic and unguided; the paper writes x ~ D(. | z) and says nothing of how. A single
        # step from a noised latent would know the answer, and of mixed tokens there is no latent.
        def predicted(x: Tensor, t: int) -> Tensor:
            times = torch.full((1,), t, device=x.device)
            return self.dit(x, times, tokens).output.chunk(2, dim=-1)[0]

        return ddim(predicted, noise, self.diffusion, steps=steps, x0_limit=self.x0_limit, recompute=recompute)

    # ---- training -----------------------------------------------------------------------------------------------

    def losses(self, batch: dict[str, Tensor], step: int, rng: torch.Generator) -> Iterator[tuple]:
        """Weighted terms of the autoencoder's update, then, once it is on, of the critic's.

        The first group must have been stepped before the second is asked for. batch["images"] (B, 3, S, S) in [-1, 1];
        batch["teacher_grid"] (B, G * G, F) where patches are aligned. Terms of the three losses are there only while
        they are on; watched is what Q misses, where 1 is what a blind one does.
        """
        images = batch["images"]
        latents, tokens = self.latents(images, rng), self.encode(images)
        terms = self.reconstruction_terms(latents, tokens, batch, step, rng)
        decoded, watched, composing = None, {}, self.composing
        if composing is not None and step >= self.start:
            decoded = composing.decoded(
                latents, tokens, lambda z, noise: self.fast_latents(z, noise, self.auxiliary_steps), rng
            )
            told, watched = composing.information_terms(decoded, self.maps)
            with torch.autocast(images.device.type, enabled=False):
                terms |= told | composing.adversarial_terms(decoded, step, rng)
        elif composing is not None and composing.informs:  # a gradient for every parameter in every step
            terms["mse"] = terms["mse"] + 0 * sum(p.sum() for p in composing.recogniser.parameters())
        yield "autoencoder", terms, watched
        if decoded is not None and composing.judges:
            # DECISION: in full precision, as the official code; a difference over 0.01 has no digits left in bfloat16.
            with torch.autocast(images.device.type, enabled=False):
                found = composing.critic_terms(decoded, rng)
            yield "critic", found

    def reconstruction_terms(
        self, latents: Tensor, tokens: Tensor, batch: dict[str, Tensor], step: int, rng: torch.Generator
    ) -> dict[str, Tensor]:
        """Eq. 5 and REPA: latents (B, P, s, C) under noise, denoised with the tokens (B, K, d)."""
        t = torch.randint(self.diffusion.steps, (len(latents),), generator=rng, device=rng.device).to(latents.device)
        noise, weight = draw_noise(latents, rng), self.representation
        shown = self.shown(tokens, step, rng)
        seen = self.dit(self.diffusion.q_sample(latents, t, noise), t, shown, aligned=bool(weight))
        projected = None
        if weight:
            projected = self.dit.projector(seen.hidden)
        with torch.autocast(latents.device.type, enabled=False):
            # DECISION (D13): Eq. 5 prints the first term alone; the second teaches the variance (Semanticist's code).
            found = self.diffusion.losses(seen.output, latents, t, noise)
            terms = {"mse": found.mse.mean()}
            if self.variance:
                terms["vb"] = self.variance * found.vb.mean()
            if projected is not None:
                aligned = resized(projected.float(), self.teacher_side)
                # 1 more than the official code's, which has -cos: the same gradient.
                terms["representation"] = weight * representation_loss(aligned, batch["teacher_grid"])
        return terms

    def shown(self, tokens: Tensor, step: int, rng: torch.Generator) -> Tensor:
        """What of the tokens (B, K, d) the decoder gets in training: the first ones, or all or none of them."""
        B, K = tokens.shape[:2]
        if self.nested_start_step is not None and step >= self.nested_start_step:
            # As in the official code, no whole condition is dropped from here on.
            kept = first(draw_kept(B, K, "uniform", rng), K)[..., None]
        else:
            kept = (torch.rand(B, generator=rng, device=rng.device) >= self.null_probability).view(-1, 1, 1)
        return torch.where(kept.to(tokens.device), tokens, self.dit.null_cond)

    def freeze_encoder(self) -> None:
        """Leave only the decoder, Q and the critic to train: tokens stay what they are."""
        self.encoder.requires_grad_(False)
        self.encoder2slot.requires_grad_(False)

    def parameter_groups(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        """Trainable parameters of each optimizer: "autoencoder" with Q, and "critic" where there is one."""
        trained = [(name, p) for name, p in self.named_parameters() if p.requires_grad]
        groups = {"autoencoder": [(name, p) for name, p in trained if not name.startswith(CRITIC)]}
        if self.composing is not None and self.composing.judges:
            groups["critic"] = [(name, p) for name, p in trained if name.startswith(CRITIC)]
        return groups

    def no_weight_decay(self, name: str, parameter: nn.Parameter) -> bool:
        """Biases, gains and single vectors (Semanticist, official code); of the critic nothing is spared."""
        return parameter.ndim < 2 and not name.startswith(CRITIC)


def first_stage_of(settings: Mapping[str, Any]) -> tuple[nn.Module, int, int]:
    """A frozen first stage, the pixels along the side of one of its latents, and a latent's values."""
    if "components" in settings:
        return PatchComponents(**settings), settings["patch"], settings["components"]
    stage = LatentAutoencoder(**settings).requires_grad_(False)
    return stage, 2 ** (len(settings["multipliers"]) - 1), settings["latent_channels"]


def resized(features: Tensor, side: int) -> Tensor:
    """Features (B, G * G, F) of a square grid -> (B, side * side, F), bicubically (Semanticist, official code)."""
    own = round(features.shape[1] ** 0.5)
    if own == side:
        return features
    grid = features.transpose(1, 2).unflatten(2, (own, own))
    return F.interpolate(grid, (side, side), mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)


def build(spec: dict) -> CompTok:
    """The tokenizer of a resolved recipe: `spec` holds the keywords of CompTok."""
    return CompTok(**spec)
