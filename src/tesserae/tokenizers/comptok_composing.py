"""What CompTok adds to Semanticist (arXiv 2602.03339, Sec. 3.4): tokens are mixed from two images, and what is decoded
is looked at by a network that reads tokens back (L_MI, L_MI^swap) and by a critic (L_AFM).

Shapes: n images with these losses; latents (n, P, s, C); K tokens of d values; T steps of the diffusion.
"""

from collections.abc import Callable
from typing import NamedTuple, TypedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.diffusion.gaussian import GaussianDiffusion
from tesserae.losses.adversarial_flow import (
    CriticSettings,
    critic_terms,
    normalised,
    penalised,
    pulled,
    relativistic,
    transport_weight,
)
from tesserae.tokenizers.comptok_decoder import Critic
from tesserae.tokenizers.comptok_encoder import Recogniser


class LossWeights(TypedDict):
    """Weight 0 leaves a term out, and nothing else."""

    variance: float  # of the part of Eq. 5 that it does not print
    representation: float
    information: float  # L_MI, Eq. 6
    swapped_information: float  # L_MI^swap, Eq. 8
    adversarial: float  # L_AFM, Eqs. 9 and 10


class Auxiliary(TypedDict):
    """How images are decoded for the three losses."""

    batch_fraction: float  # n / B
    steps: int
    x0_limit: float
    encoder_gradient: bool  # whether the encoder learns from them


class Adversarial(CriticSettings):
    transport: float  # weight of the optimal transport term at the first step
    transport_end: float  # and at the last
    normaliser_decay: float


class Decoded(NamedTuple):
    """Latents of images, and what is decoded from their tokens, their own and mixed ones."""

    real: Tensor  # (n, P, s, C)
    own: Tensor  # (n, K, d), without gradient
    mixed: Tensor  # (n, K, d), without gradient
    of_own: Tensor | None  # (n, P, s, C); None: no loss asks for it
    of_mixed: Tensor | None


def mixed_tokens(tokens: Tensor, others: Tensor, rng: torch.Generator) -> Tensor:
    """Eq. 7: tokens (B, K, d) of which some are replaced by those of the others at the same places.

    How many is uniform for each image, at least one of each; which ones as well.
    """
    # DECISION (D16): the paper says "a subset".
    B, K = tokens.shape[:2]
    share = torch.rand(B, generator=rng, device=rng.device)
    order = torch.rand(B, K, generator=rng, device=rng.device).argsort(dim=1).argsort(dim=1)
    replaced = order < (share * K).round().clamp(1, K - 1)[:, None]
    return torch.where(replaced.to(tokens.device)[..., None], others, tokens)


def draw_judged_times(count: int, steps: int, rng: torch.Generator) -> Tensor:
    """Times at which real and decoded latents are compared: floor(T u v), u and v uniform: int64 (count,)."""
    # DECISION (D17): the law of adversarial flow models' any-step targets.
    drawn = torch.rand(2, count, generator=rng, device=rng.device).prod(dim=0)
    return (steps * drawn).long()


class Composing(nn.Module):
    """The three losses, with Q and the critic where one of them asks for it."""

    def __init__(
        self,
        *,
        recogniser: Callable[[], Recogniser],
        critic: Callable[[], Critic],
        diffusion: GaussianDiffusion,
        loss_weights: LossWeights,
        auxiliary: Auxiliary,
        adversarial: Adversarial,
        transport_steps: int | None,
    ):
        super().__init__()
        self.loss_weights, self.auxiliary, self.adversarial = dict(loss_weights), dict(auxiliary), dict(adversarial)
        self.diffusion, self.transport_steps = diffusion, transport_steps
        self.informs = bool(loss_weights["information"] or loss_weights["swapped_information"])
        self.judges = bool(loss_weights["adversarial"])
        if self.informs:
            self.recogniser = recogniser()
        if self.judges:
            self.critic = critic()
            self.register_buffer("adversarial_square", torch.zeros(()))

    def decoded(
        self, latents: Tensor, tokens: Tensor, decode: Callable[[Tensor, Tensor], Tensor], rng: torch.Generator
    ) -> Decoded:
        """Of the first n images of a batch, latents (B, P, s, C), tokens (B, K, d); `decode(tokens, noise)` -> latents.

        ValueError for a batch of one, which has nobody to swap with.
        """
        if len(tokens) < 2:
            raise ValueError("swapping tokens needs two images, and a micro-batch has one: lower `microbatches`")
        # DECISION (D22): on a part of the batch, for they cost several passes.
        n = min(len(tokens), max(2, round(self.auxiliary["batch_fraction"] * len(tokens))))
        own, weights = tokens[:n], self.loss_weights
        if not self.auxiliary["encoder_gradient"]:
            own = own.detach()  # DECISION (D15): the paper writes L(D, phi): losses of the decoder and of Q
        mixed = mixed_tokens(own, own.roll(1, dims=0), rng)
        wanted = [
            z if weights[term] or self.judges else None
            for z, term in ((own, "information"), (mixed, "swapped_information"))
        ]
        asked = torch.cat([z for z in wanted if z is not None])
        found = iter(decode(asked, draw_noise(latents[:1].expand(len(asked), -1, -1, -1), rng)).split(n))
        of_own, of_mixed = (None if z is None else next(found) for z in wanted)
        return Decoded(latents[:n], own.detach(), mixed.detach(), of_own, of_mixed)

    def information_terms(
        self, decoded: Decoded, maps: Callable[[Tensor], Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Eqs. 6 and 8, weighted; and what Q misses, whether it counts or not: 1 is what a blind one would.

        `maps` turns latents to what Q reads, (n, C, H, H).
        """
        terms, watched = {}, {}
        pairs = {
            "information": (decoded.of_own, decoded.own),
            "swapped_information": (decoded.of_mixed, decoded.mixed),
        }
        for name, (latents, tokens) in pairs.items():
            if latents is None or not self.informs:
                continue
            weight, blind = self.loss_weights[name], (tokens.shape[-1] - 1) / tokens.shape[-1]
            with torch.set_grad_enabled(bool(weight) and torch.is_grad_enabled()):
                # DECISION (D10): of unit variance, as InfoGAN's for continuous codes, and a mean, where Eq. 6 has a sum
                # over tokens: with weights of 1 that would be thousands of times the loss of Eq. 5.
                error = F.mse_loss(self.recogniser(maps(latents)).float(), tokens)
            if weight:
                terms[name] = weight * error
            watched[f"{name}_missed"] = error.detach() / blind
        return terms, watched

    def pairs(self, decoded: Decoded) -> tuple[Tensor, Tensor]:
        """Real latents and what was decoded, one after the other of each image: (2n, P, s, C) each."""
        fake = torch.stack([decoded.of_own, decoded.of_mixed], dim=1).flatten(0, 1)
        return decoded.real.repeat_interleave(2, dim=0), fake

    def noised(self, latents: Tensor, t: Tensor, rng: torch.Generator) -> Tensor:
        return self.diffusion.q_sample(latents, t, draw_noise(latents, rng))

    def adversarial_terms(self, decoded: Decoded, step: int, rng: torch.Generator) -> dict[str, Tensor]:
        """Eqs. 9 and 10, weighted: what the critic asks of what was decoded, and transport to where it came from."""
        if not self.judges:
            return {}
        weight, settings = self.loss_weights["adversarial"], self.adversarial
        real, fake = self.pairs(decoded)
        t = draw_judged_times(len(real), self.diffusion.steps, rng).to(real.device)
        self.critic.requires_grad_(False)
        sample = fake.detach().requires_grad_()
        with torch.no_grad():
            of_real = self.critic(self.noised(real, t, rng), t)
        loss = relativistic(self.critic(self.noised(sample, t, rng), t), of_real)
        # DECISION (D19): as in adversarial flow models, at the output of the network that learns.
        gradient = normalised(loss, sample, self.adversarial_square, settings["normaliser_decay"])
        self.critic.requires_grad_(True)
        # DECISION (D18): the official code's decay. Its term ties what is drawn to the noise it is drawn from, this one
        # to the image whose tokens it has.
        transport = transport_weight(step, self.transport_steps, settings["transport"], settings["transport_end"])
        return {
            "adversarial": weight * pulled(loss, fake, gradient),
            "transport": weight * transport * F.mse_loss(decoded.of_own, decoded.real),
        }

    def critic_terms(self, decoded: Decoded, rng: torch.Generator) -> dict[str, Tensor]:
        """The critic's own loss, of what was decoded before the decoder's step."""
        real, fake = (x.detach() for x in self.pairs(decoded))
        t = draw_judged_times(len(real), self.diffusion.steps, rng).to(real.device)
        real, fake = self.noised(real, t, rng), self.noised(fake, t, rng)
        looked = real[: penalised(len(real), self.adversarial["penalty_fraction"])]
        steps = draw_noise(looked, rng), draw_noise(looked, rng)
        found = critic_terms(self.critic, real, fake, t, steps, self.adversarial)
        return {f"critic_{name}": term for name, term in found._asdict().items()}


def draw_noise(like: Tensor, rng: torch.Generator) -> Tensor:
    """Standard normal, float32, in the shape and on the device of latents."""
    return torch.randn(like.shape, generator=rng, device=rng.device).to(like.device)
