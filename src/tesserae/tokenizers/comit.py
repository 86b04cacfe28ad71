"""COMiT (arXiv 2602.20731): one transformer looks at an image piece by piece, rewrites a message of codes after each
look, and draws the whole image from the last message.

The network is in nn/message_transformer.py; where it looks in comit_looking.py; how it draws in comit_drawing.py. There
is no official code of the training: it follows the paper's Secs. 3.2 and 3.3, and the official code's conventions.

Shapes: B images of side S in [-1, 1], C channels and H x H values of their latents, T = G x G patches of these, M codes
of an image, d values of a code's vector, D width, W values of a teacher's features.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.diffusion.flow import draw_logit_normal_times, draw_noise, path, path_velocity, per_sample
from tesserae.encoders.first_stage import FIRST_STAGES, FirstStage
from tesserae.encoders.teachers import CHANNELS
from tesserae.losses.perceptual import perceptual_loss
from tesserae.losses.representation import projector
from tesserae.nn.hashing import normals, seeds_of
from tesserae.nn.message_transformer import Mask, MessageTransformer, Seen
from tesserae.nn.sizes import TransformerSize
from tesserae.quantizers.finite import FiniteQuantizer
from tesserae.quantizers.vector import codebook_health
from tesserae.tokenizers import comit_drawing as drawing
from tesserae.tokenizers import comit_looking as looking
from tesserae.tokenizers.comit_drawing import Predicts, Sampling
from tesserae.tokenizers.comit_looking import Look, Policy


class LossWeights(TypedDict):
    srepa: float
    repa: float
    perceptual: float
    spread: float  # how far values of a message are from mean 0 and deviation 1, before they are rounded


class Looks(TypedDict):
    """How many looks a step of the training takes (comit_looking.looks_law), and at what."""

    rate: float
    spread: float
    most: int
    uniform: bool
    whole_probability: float  # that the first is at the whole image
    unconditional_probability: float  # that an image is drawn from the empty message


class Times(TypedDict):
    mean: float  # of the normal distribution whose sigmoid is t
    std: float


class Told(NamedTuple):
    """Messages, and how the whole image lies to the last look."""

    vectors: Tensor  # (B, M, d), of codes
    offsets: Tensor  # (B, 2)
    values: Tensor | None = None  # (B, M, d), before they were rounded: of the update that has a gradient


def spread_loss(values: Tensor) -> Tensor:
    """How far each value of a message, (B, M, d) before rounding, is from mean 0 and deviation 1 over images: 0-d.

    Of normal values nearly all levels are taken alike (finite scalar quantisation squashes them by a tanh), so this is
    the range that codes have. 0 where mean and deviation are such; 1 where all images have the same value, 0.
    """
    std, mean = torch.std_mean(values.float(), dim=0, correction=0)
    return mean.square().mean() + (std - 1).square().mean()


class COMiT(nn.Module):
    """The tokenizer and its losses.

    A frozen first stage, if any, is in no state dict and is read at first use, as are networks of a perceptual loss.
    Projectors to a teacher's features are there only where their loss has a weight. The paper has neither a perceptual
    loss nor one of the values' spread. Raises ValueError for sizes and policies that do not fit one another.
    """

    ALIGNED = ("srepa", "repa")  # losses that need a teacher
    TRAINING_ONLY = ("srepa.", "repa.")  # prefixes of what is not part of the tokenizer

    def __init__(
        self,
        *,
        image_size: int,
        first_stage: Literal["pixels", "sd_vae_mse", "sd_vae_ema"],
        posterior: Literal["sample", "mean"],
        patch_size: int,  # in latents
        transformer: TransformerSize,
        message_tokens: int,
        codebook_size: int,
        levels: Sequence[int],
        crop: int,  # in pixels
        mask: Mask,
        predicts: Predicts,
        gate_start: float,
        representation_layer: int,
        projector_width: int,
        looks: Looks,
        times: Times,
        loss_weights: LossWeights,
        perceptual: Literal["lpips", "lite2", "none"],
        teacher: str | None,  # one of encoders.teachers.CHANNELS; None where no loss needs it
        policy: Mapping[str, Any],
        sampling: Sampling,
    ):
        super().__init__()
        scale = FIRST_STAGES[first_stage].scale
        for name, side in (("image", image_size), ("crop", crop)):
            if side % (scale * patch_size):
                raise ValueError(f"{name} side {side} is not divisible by the {scale * patch_size} pixels of a patch")
        self.policy = Policy(**policy)
        looking.checked(self.policy, image_size, crop)
        if self.policy.order in ("random", "adaptive"):
            raise ValueError(f"order {self.policy.order}: of codes alone nobody knows where the last look was")
        if math.prod(levels) != codebook_size:
            raise ValueError(f"levels {list(levels)} make {math.prod(levels)} codes, not {codebook_size}")
        aligned = [name for name in self.ALIGNED if loss_weights[name]]
        if aligned and teacher is None:
            raise ValueError("losses srepa and repa need a teacher: name one, or weigh both 0")
        self.perceptual_loss = perceptual_loss(perceptual, loss_weights["perceptual"])
        if self.perceptual_loss is not None and first_stage != "pixels":
            raise ValueError(
                f"a perceptual loss compares images, and {first_stage} draws latents: choose none, or pixels"
            )
        self.image_size, self.crop, self.predicts, self.sampling = image_size, crop, predicts, sampling
        self.vocabulary, self.tokens = codebook_size, message_tokens
        self.looks, self.times, self.loss_weights = looks, times, dict(loss_weights)
        self.law = looking.looks_law(looks["rate"], looks["spread"], looks["most"], looks["uniform"])
        self.first_stage = FirstStage(first_stage, posterior)
        self.side = image_size // scale  # H
        self.quantizer = FiniteQuantizer(levels)
        self.predictor = MessageTransformer(
            transformer,
            channels=FIRST_STAGES[first_stage].channels,
            grid=self.side // patch_size,
            patch=patch_size,
            message_tokens=message_tokens,
            message_width=len(levels),
            representation_layer=representation_layer,
            mask=mask,
            gate_start=gate_start,
        )
        self.teacher_side = self.predictor.grid if aligned else 0
        for name in aligned:
            setattr(self, name, projector(transformer["width"], projector_width, CHANNELS[teacher]))

    def place_tokens(self) -> None:
        """First weights of a narrow network (nn/first_weights.py)."""
        self.predictor.place_tokens()

    # ---- looking --------------------------------------------------------------------------------------------------

    @property
    def empty(self) -> Tensor:
        """The message before any look, float32 (M, d): the code in the middle of all codes (official code)."""
        middle = torch.full((self.tokens,), self.vocabulary // 2, device=self.predictor.pos_embed.device)
        return self.quantizer.lookup(middle)

    def rewritten(self, pieces: Tensor, offsets: Tensor, vectors: Tensor) -> Tensor:
        """Messages (B, M, d) after a look at latents of pieces (B, C, h, h): vectors of codes, with a gradient."""
        return self.quantizer(self.values(pieces, offsets, vectors))

    def values(self, pieces: Tensor, offsets: Tensor, vectors: Tensor) -> Tensor:
        """The same before they are rounded, float32 (B, M, d)."""
        network = self.predictor
        clean = torch.ones(1, device=pieces.device)
        told = network.embedded_offset(offsets), network.embedded_message(vectors)
        seen = network.read(network.embedded_image(pieces), clean, *told, buffer=True)
        return network.message(seen)

    def told(self, images: Tensor, policy: Policy, rng: torch.Generator | None = None) -> Told:
        """Messages about images (B, 3, S, S) by a policy; `rng` draws latents afresh, if anything of them is drawn."""
        looking.checked(policy, self.image_size, self.crop)
        vectors, last = self.empty.expand(len(images), -1, -1), None

        def look(at: Look) -> None:
            nonlocal vectors, last
            offsets = torch.zeros_like(at.places) if last is None else at.places - last
            vectors, last = self.rewritten(self.first_stage.encode(at.pieces, rng), offsets, vectors), at.places

        if policy.whole:
            look(looking.whole(images))
        if policy.order == "adaptive":
            errors = looking.Errors(images, self.crop)
            for _ in range(policy.crops - policy.whole):
                drawn = None if last is None else self.drawn(Told(vectors, -last), steps=1, guidance=1.0)
                look(looking.cell(images, errors.first() if drawn is None else errors.next(drawn), self.crop))
        elif policy.order != "global":
            for cells in looking.fixed_cells(images, policy).unbind(1):
                look(looking.cell(images, cells, self.crop))
        return Told(vectors, -last)

    def encode(self, images: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] -> codes int64 (B, M), by the recipe's own policy."""
        return self.quantizer.codes(self.told(images, self.policy, rng).vectors)

    def encode_under(self, images: Tensor, policy: Mapping[str, Any]) -> Tensor:
        """As `encode`, by another policy (its `order`, `crops` and `whole`); ValueError for one that there is not."""
        return self.quantizer.codes(self.told(images, Policy(**policy)).vectors)

    def code_vectors(self, codes: Tensor) -> Tensor:
        """Codes int64 (B, M) -> their vectors, float32 (B, M, d), in [-1, 1]."""
        return self.quantizer.lookup(codes)

    # ---- drawing --------------------------------------------------------------------------------------------------

    def decode(self, codes: Tensor) -> Tensor:
        """Codes int64 (B, M), made by the recipe's policy -> images (B, 3, S, S), about [-1, 1], not clamped."""
        return self.decode_by(codes, self.sampling["steps"], self.sampling["guidance"])

    def decode_by(self, codes: Tensor, steps: int, guidance: float, offsets: Tensor | None = None) -> Tensor:
        """As `decode`, in so many steps and with a guidance (1: none); one step of none is the view of what is known.

        `offsets` (B, 2) are those of `told`, where codes were made by another policy than the recipe's.
        """
        told = Told(self.code_vectors(codes), self._offsets(codes) if offsets is None else offsets)
        return self.drawn(told, steps=steps, guidance=guidance)

    def _offsets(self, codes: Tensor) -> Tensor:
        """How the whole image lies to the last look of the recipe's policy: (B, 2)."""
        device, count = codes.device, self.policy.crops - self.policy.whole
        if not count:
            return torch.zeros(len(codes), 2, device=device)
        starts = looking.corners(self.image_size, self.crop, device)[count - 1]
        return -looking.places_of(starts, self.image_size, self.crop).expand(len(codes), -1)

    def noise(self, vectors: Tensor) -> Tensor:
        """Where a drawing begins, float32 (B, C, H, H): it follows from the message, whatever the batch."""
        return normals(seeds_of(self.quantizer.codes(vectors)), 0, (self.predictor.channels, self.side, self.side))

    def drawn(self, told: Told, *, steps: int, guidance: float, noise: Tensor | None = None) -> Tensor:
        """Images (B, 3, S, S) of messages, from `noise` (B, C, H, H) or that of the messages."""
        velocity = self._field(told, guidance)
        start = self.noise(told.vectors) if noise is None else noise
        times = drawing.times(steps, start.device)
        return self.first_stage.decode(drawing.SOLVERS[self.sampling["solver"]](velocity, start, times))

    def _field(self, told: Told, guidance: float) -> drawing.Velocity:
        projection = self.sampling["projection"]
        return drawing.field(
            self.predictor, self.predicts, told.vectors, told.offsets, self.empty, guidance, projection
        )

    @property
    def attention_blocks(self) -> int:
        return len(self.predictor.blocks)

    @property
    def attention_mask(self) -> Mask:
        return self.predictor.mask

    def message_attention(
        self,
        codes: Tensor,
        wanted: Mapping[float, Sequence[int]],
        *,
        steps: int,
        mask: Mask = "causal",
        offsets: Tensor | None = None,
    ) -> Iterator[tuple[float, int, Tensor, Tensor]]:
        """How much tokens attend to patches, and patches to tokens, while images are drawn from codes (B, M).

        The drawing takes `steps`. wanted: times -> layers, from 0. Of each time, rising, and each layer, rising, both
        maps, (B, M, G, G): after the softmax, the mean over heads, at the first step of a time of at least the one that
        is wanted. The layers of this one pass are all masked by `mask`, those of the drawing as they were trained
        (official code). `offsets` as in `decode_by`. ValueError for a time that no step has, or a layer that there is
        not.
        """
        told = Told(self.code_vectors(codes), self._offsets(codes) if offsets is None else offsets)
        at, network = drawing.times(steps, codes.device), self.predictor
        reached = {time: self._first_step(time, at) for time in sorted(wanted)}
        velocity, x, done = self._field(told, self.sampling["guidance"]), self.noise(told.vectors), 0
        parts = network.embedded_offset(told.offsets), network.embedded_message(told.vectors)
        patches = network.grid**2
        image, message = slice(1, 1 + patches), slice(1 + patches, 1 + patches + self.tokens)
        for time, step in reached.items():
            x, done = drawing.euler(velocity, x, at[done : step + 1]), step
            reads = network.attention(network.embedded_image(x), at[step].view(1), *parts, wanted[time], mask)
            for layer, found in reads:
                maps = found[:, :, message, image], found[:, :, image, message].transpose(2, 3)
                yield time, layer, *(each.mean(dim=1).unflatten(2, (network.grid, network.grid)) for each in maps)

    @staticmethod
    def _first_step(time: float, at: Tensor) -> int:
        """The first step of a drawing that begins at a time of at least `time`."""
        reached = [step for step, t in enumerate(at[:-1].tolist()) if t >= time - 1e-6]
        if not reached:
            raise ValueError(f"no step of {len(at) - 1} is at a time of {time} or later, before 1")
        return reached[0]

    # ---- training -------------------------------------------------------------------------------------------------

    def losses(self, batch: dict, step: int, rng: torch.Generator) -> Iterator[tuple]:
        """Weighted terms of the one update: "flow_matching", and where they have a weight "perceptual" (of the image
        as it is foreseen), "spread", "srepa" and "repa".

        With them come, to be watched, the number of looks, and usage and perplexity of codes. batch["images"]
        (B, 3, S, S) in [-1, 1]; with a teacher its features of these very images, batch["teacher_pooled"] (B, W) and
        batch["teacher_grid"] (B, T, W), row by row. Losses are float32.
        """
        images = batch["images"]
        latents = self.first_stage.encode(images, rng)
        looks = looking.draw_looks(self.law, rng)
        told = self.looked(images, looks, rng)
        codes = self.quantizer.codes(told.vectors.detach())
        dropped = self._drawn(rng, (len(images), 1, 1), images) < self.looks["unconditional_probability"]
        vectors = torch.where(dropped, self.empty, told.vectors)
        t = draw_logit_normal_times(latents.float(), rng, **self.times)
        noise = draw_noise(latents.float(), rng)
        x = path(latents.float(), noise, t)
        seen = self._sketched(x, t, vectors, told.offsets)
        said = self.predictor.velocity(seen)
        velocity = drawing.as_velocity(said, x, t, self.predicts)
        with torch.autocast(images.device.type, enabled=False):
            terms = {"flow_matching": F.mse_loss(velocity, path_velocity(latents.float(), noise))}
            if self.perceptual_loss is not None:
                foreseen = said.float() if self.predicts == "image" else x + (1 - per_sample(t, x)) * velocity
                terms["perceptual"] = self.loss_weights["perceptual"] * self.perceptual_loss(images.float(), foreseen)
            if self.loss_weights["spread"]:
                terms["spread"] = self.loss_weights["spread"] * spread_loss(told.values)
            terms |= self.alignment(batch, seen)
        yield "autoencoder", terms, {"looks": torch.tensor(float(looks)), **codebook_health(codes, self.vocabulary)}

    def looked(self, images: Tensor, looks: int, rng: torch.Generator) -> Told:
        """Messages after some looks at random places, the first one perhaps at the whole image.

        Only the last one has a gradient (Sec. 3.2).
        """
        # DECISION (D14, D15): of each process and step one number of looks, and one draw of a whole first one, since
        # sizes differ; the two probabilities are independent.
        whole = self._drawn(rng, (), images).item() < self.looks["whole_probability"]
        vectors, place = self.empty.expand(len(images), -1, -1), None
        for number in range(looks):
            at = looking.whole(images) if whole and not number else looking.anywhere(images, self.crop, rng)
            offsets = torch.zeros_like(at.places) if place is None else at.places - place
            pieces, place = self.first_stage.encode(at.pieces, rng), at.places
            if number == looks - 1:
                values = self.values(pieces, offsets, vectors)
                return Told(self.quantizer(values), -place, values)
            kind = images.device.type
            # Under autocast, weights that were cast without a gradient would be kept for the pass that needs one.
            precision = {"enabled": torch.is_autocast_enabled(kind), "dtype": torch.get_autocast_dtype(kind)}
            with torch.no_grad(), torch.autocast(kind, cache_enabled=False, **precision):
                vectors = self.rewritten(pieces, offsets, vectors)
        raise ValueError("an image must be looked at")

    def _sketched(self, x: Tensor, t: Tensor, vectors: Tensor, offsets: Tensor) -> Seen:
        """The pass that draws, at noisy latents x (B, C, H, H) and times t (B,)."""
        network = self.predictor
        told = network.embedded_offset(offsets), network.embedded_message(vectors)
        return network.read(network.embedded_image(x), t, *told, buffer=network.mask != "causal")

    def alignment(self, batch: dict, seen: Seen) -> dict[str, Tensor]:
        """Hidden states of message and image against a teacher's features: 1 - cosine, weighted.

        Of the message, states are averaged after their projection (Eq. 6). ValueError for another number of features
        than there are patches.
        """
        terms, weights = {}, self.loss_weights
        if weights["srepa"]:
            said = self.srepa(seen.message_states.float()).mean(dim=1)
            terms["srepa"] = weights["srepa"] * (1 - F.cosine_similarity(said, batch["teacher_pooled"].float()).mean())
        if weights["repa"]:
            grid = batch["teacher_grid"].float()
            if grid.shape[1] != seen.image_states.shape[1]:
                raise ValueError(f"{grid.shape[1]} features of a teacher, and {seen.image_states.shape[1]} patches")
            said = self.repa(seen.image_states.float())
            terms["repa"] = weights["repa"] * (1 - F.cosine_similarity(said, grid, dim=2).mean())
        return terms

    @staticmethod
    def _drawn(rng: torch.Generator, shape: tuple[int, ...], like: Tensor) -> Tensor:
        return torch.rand(shape, generator=rng, device=rng.device).to(like.device)

    # ---- what trains ----------------------------------------------------------------------------------------------

    def freeze_encoder(self) -> None:
        """Raises ValueError: what looks is what draws."""
        raise ValueError("COMiT's encoder is its decoder: neither is trained alone; remove `finetune` from the recipe")

    def parameter_groups(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        """The one group: all that is trained, projectors included."""
        return {"autoencoder": [(name, p) for name, p in self.named_parameters() if p.requires_grad]}

    def no_weight_decay(self, name: str, parameter: nn.Parameter) -> bool:
        """Vectors, tokens and positions. The paper decays nothing at all."""
        return parameter.ndim < 2 or name.endswith(("pos_embed", "r_to_token", "y_pos_offset"))


def build(spec: dict) -> COMiT:
    """The tokenizer of a resolved recipe: `spec` holds the keywords of COMiT."""
    return COMiT(**spec)
