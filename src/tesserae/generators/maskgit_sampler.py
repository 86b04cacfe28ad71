"""Sampling of MaskGIT: all masked codes are drawn at each step, and the most confident ones stay.

Sources: MaskGIT (arXiv 2202.04200), Sec. 3.2; guidance, temperatures and confidences are those of TiTok's code; codes
that choose their places: DECISION D20 of TaTok, whose paper is silent. Shapes: as maskgit.py; M masked slots of all
samples, in their order, M' of them with a place to choose.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from tesserae.generators.maskgit import PADDING, MaskGIT, Sequences
from tesserae.nn.masking import groups_by_length, gumbel, masked_after, ranks, real_slots

# Slots of both passes of guidance that go through the network as one batch: more are as fast, or faster, in two.
JOINED = 1024
SCHEDULES: dict[str, Callable[[float, float], float]] = {  # of progress in [0, 1) and a power: from 0 to 1
    "constant": lambda progress, power: 1.0,
    "linear": lambda progress, power: progress,
    "power_cosine": lambda progress, power: (1 - math.cos(math.pi * progress**power)) / 2,
}


class Noise(NamedTuple):
    """Uniform numbers in [0, 1) of one step; None where there is nothing to draw."""

    codes: Tensor | None  # (M, V)
    places: Tensor | None  # (M', P)
    confidence: Tensor | None  # (M,)


class Streams:
    """A source of random numbers for each sample: the `Noise` of its masked slots does not depend on other samples."""

    def __init__(self, model: MaskGIT, seeds: list[int]) -> None:
        self.model = model
        self.rngs = [torch.Generator().manual_seed(seed) for seed in seeds]

    def lengths(self, labels: Tensor) -> Tensor:
        """How long each sample will be, drawn as often as in its class: int64 (B,)."""
        model = self.model
        if not model.ragged:
            return torch.full_like(labels, model.token_length)
        sums = model.length_counts[labels].double().cumsum(1)
        if not sums[:, -1].all():
            unknown = sorted(set(labels[sums[:, -1] == 0].tolist()))
            raise ValueError(
                f"no lengths are known of the classes {unknown}: the training set has no images of them, or "
                "`count_lengths` was not told"
            )
        uniforms = torch.cat([torch.rand(1, generator=rng, dtype=torch.float64) for rng in self.rngs]).to(sums.device)
        return torch.searchsorted(sums, uniforms[:, None] * sums[:, -1:], right=True)[:, 0]

    def of(self, rows: list[int]) -> Callable[[Tensor], Noise]:
        """The noise of some samples: which of their slots are masked, bool (B, S) -> Noise."""
        return lambda masked: self._noise([self.rngs[i] for i in rows], masked)

    def _noise(self, rngs: list[torch.Generator], masked: Tensor) -> Noise:
        places, k = self.model.places, self.model.unplaced
        found: list[list[Tensor]] = [[], [], []]
        standing = masked[:, k:] if places else masked[:, :0]
        for rng, count, some in zip(rngs, masked.sum(1).tolist(), standing.sum(1).tolist(), strict=True):
            for all_of, shape in zip(found, ((count, self.model.vocabulary), (some, places), (count,)), strict=True):
                all_of.append(torch.rand(shape, generator=rng))
        codes, stands, confidence = (torch.cat(parts).to(masked.device) for parts in found)
        return Noise(codes, stands if places else None, confidence)


def guidance_weight(step: int, steps: int, guidance: float, schedule: str, power: float) -> float:
    """How much of (with class - without) is added to what is predicted with the class; `guidance` 1: nothing.

    TiTok's code counts the scale of its constant and linear guidance from 0: its 3.0 is our 4.0. That of "power_cosine"
    (MDT's, arXiv 2303.14389) is ours.
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"unknown guidance schedule {schedule!r}; known: {', '.join(SCHEDULES)}")
    return (guidance - 1) * SCHEDULES[schedule](step / steps, power)


def predict(model: MaskGIT, sequences: Sequences, masked: Tensor, labels: Tensor, weight: float) -> Tensor:
    """Guided features of the masked slots, (M, D).

    The layers after them are affine and weights of guidance add up to 1, so that features can be guided, not logits.
    """
    classes = [labels, torch.full_like(labels, model.null)] if weight else [labels]
    if bool((masked.sum(1) == sequences.lengths).all()):
        found = [features[masked] for features in _of_unknown(model, sequences, masked, classes)]
    elif len(classes) * masked.numel() > JOINED:
        found = [model.masked_features(sequences, masked, some) for some in classes]
    else:
        found = model.masked_features(*_joined(sequences, masked, classes)).chunk(len(classes))
    if not weight:
        return found[0]
    with_class, without = found
    return with_class + weight * (with_class - without)


def _of_unknown(model: MaskGIT, sequences: Sequences, masked: Tensor, classes: list[Tensor]) -> tuple[Tensor, ...]:
    """Features (B, S, D) for each of `classes` (B,) if nothing is known: those of one class and length are alike."""
    both, hidden, labels = _joined(sequences, masked, classes)
    _, first, alike = _distinct(torch.stack([labels, both.lengths], 1))
    features = model.features(Sequences(*(x if x is None else x[first] for x in both)), hidden[first], labels[first])
    return features[alike].chunk(len(classes))


def _joined(sequences: Sequences, masked: Tensor, classes: list[Tensor]) -> tuple[Sequences, Tensor, Tensor]:
    """One batch of the same samples with each of `classes` (B,), one after the other."""
    count = len(classes)
    repeated = Sequences(*(x if x is None else torch.cat([x] * count) for x in sequences))
    return repeated, torch.cat([masked] * count), torch.cat(classes)


def _distinct(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Distinct rows, where each stands first, and which of them each row is."""
    distinct, alike = rows.unique(dim=0, return_inverse=True)
    places = torch.arange(len(rows), device=rows.device)
    first = places.new_full((len(distinct),), len(rows)).scatter_reduce(0, alike, places, "amin")
    return distinct, first, alike


def chosen(scores: Tensor, temperature: float, uniforms: Tensor | None) -> Tensor:
    """Where scores (M, C) with Gumbel noise of a temperature are largest: (M,)."""
    return (scores if uniforms is None else scores + temperature * gumbel(uniforms)).argmax(1)


# ---- places: no two codes of a sample stand on the same one -------------------------------------------------------


def occupied(places: Tensor, standing: Tensor, count: int) -> Tensor:
    """Of codes that are `standing` (B, S - k) at `places`: which places they take, bool (B, P)."""
    taken = torch.zeros(len(places), count + 1, dtype=torch.bool, device=places.device)
    return taken.scatter(1, places.where(standing, count), True)[:, :count]


def winners(places: Tensor, rank: Tensor, claiming: Tensor, count: int) -> Tensor:
    """Of the `claiming` ones, who gets its place: the one of the highest rank. Three times (B, S - k) -> bool."""
    best = rank.new_full((len(places), count), -1).scatter_reduce(1, places, rank.where(claiming, -1), "amax")
    return claiming & (best.gather(1, places) == rank)


def settle(places: Tensor, scores: Tensor, choosing: Tensor, rank: Tensor) -> Tensor:
    """After the last step: who loses its place takes its best free one, in the order of confidence.

    `choosing` (B, S - k): who chose in this step, by `scores` (M', P) of places that were free. -> places (B, S - k).
    """
    sample, count = choosing.nonzero()[:, 0], scores.shape[1]
    losing = choosing & ~winners(places, rank, choosing, count)
    while losing.any():
        first = losing & (rank == rank.where(losing, -1).amax(1, keepdim=True))  # of each sample, who is next
        taken = occupied(places, choosing & ~losing, count)
        best = scores.masked_fill(taken[sample], -torch.inf).argmax(1)
        places = places.masked_scatter(first, best[first[choosing]])
        losing = losing & ~first
    return places


# ---- the steps --------------------------------------------------------------------------------------------------


def generate(
    model: MaskGIT,
    labels: Tensor,
    lengths: Tensor,
    noise: Callable[[Tensor], Noise],
    *,
    guidance: float,
    steps: int,
    choice_temperature: float,
    guidance_schedule: str,
    guidance_power: float,
    softmax_annealing: bool,
) -> Sequences:
    """Sequences of given lengths (B,) for labels (B,), from given randomness; see `sample`."""
    B, S, P, k = len(labels), int(lengths.max()), model.places, model.unplaced
    codes = labels.new_zeros(B, S)
    places = labels.new_zeros(B, max(0, S - k)) if P else None
    masked = real_slots(lengths, S)
    for step in range(steps):
        progress = (step + 1) / steps
        temperature = choice_temperature * (1 - progress)
        weight = guidance_weight(step, steps, guidance, guidance_schedule, guidance_power)
        drawn = noise(masked) if temperature else Noise(None, None, None)
        heat = 0.5 + 0.8 * (1 - progress) if softmax_annealing else 1.0  # TiTok's code
        features = predict(model, Sequences(codes, places, lengths), masked, labels, weight)
        logits = model.logits(features).float() / heat  # (M, V)
        new = chosen(logits, temperature, drawn.codes)
        codes = codes.masked_scatter(masked, new)
        # Of what was chosen the logit, not its probability (TiTok's code).
        confidence = logits.gather(1, new[:, None])[:, 0]
        if P:
            choosing = masked[:, k:]
            sample, slot = masked.nonzero(as_tuple=True)
            taken = occupied(places, real_slots(lengths, S)[:, k:] & ~choosing, P)
            scores = model.place_head(features[slot >= k]).float() / heat  # (M', P)
            scores = scores.masked_fill(taken[sample[slot >= k]], -torch.inf)
            where = chosen(scores, temperature, drawn.places)
            places = places.masked_scatter(choosing, where)
            confidence = confidence.index_put((slot >= k,), scores.gather(1, where[:, None])[:, 0], accumulate=True)
        if temperature:
            confidence = confidence + temperature * gumbel(drawn.confidence)
        rank = ranks(torch.full((B, S), torch.inf, device=labels.device).masked_scatter(masked, confidence))
        again = rank < masked_after(step, steps, lengths, masked.sum(1))[:, None]  # the least confident
        if P and step == steps - 1:
            places = settle(places, scores, choosing, rank[:, k:])
        elif P:
            claiming = choosing & ~again[:, k:]
            again[:, k:] |= claiming & ~winners(places, rank[:, k:], claiming, P)
        masked = masked & again
    return Sequences(codes, places, lengths)


@torch.inference_mode()
def lengths(model: MaskGIT, labels: Tensor, *, seeds: list[int]) -> Tensor:
    """How many codes `sample` gives each image, int64 (B,), known before anything is drawn of them."""
    return Streams(model, seeds).lengths(labels)


@torch.inference_mode()
def sample(
    model: MaskGIT,
    labels: Tensor,
    *,
    seeds: list[int],
    guidance: float,
    steps: int,
    choice_temperature: float,
    guidance_schedule: str,
    guidance_power: float,
    softmax_annealing: bool,
) -> Tensor:
    """Rows of codes int64 (B, N) for labels (B,), one seed per sample; ABSENT where an image of that length has none.

    Sample i is a function of labels[i], seeds[i] and the settings: it does not depend on the size of the batch, on the
    other samples in it or on their order, but for rounding. Samples of similar lengths go through the network together.
    """
    if len(seeds) != len(labels):
        raise ValueError(f"{len(seeds)} seeds for {len(labels)} labels")
    streams = Streams(model, seeds)
    drawn = streams.lengths(labels)
    rows = labels.new_empty(len(labels), model.token_length)
    for some in groups_by_length(drawn.tolist(), PADDING):
        rows[some] = model.rows(
            generate(
                model,
                labels[some],
                drawn[some],
                streams.of(some),
                guidance=guidance,
                steps=steps,
                choice_temperature=choice_temperature,
                guidance_schedule=guidance_schedule,
                guidance_power=guidance_power,
                softmax_annealing=softmax_annealing,
            )
        )
    return rows
