"""MaskGIT-ViT: masked codes are predicted from those that are known, all at once; class-conditional.

Sources: MaskGIT (arXiv 2202.04200); network, loss and constants are those of TiTok's code (arXiv 2406.07550); sequences
of different lengths and their positions: TaTok (arXiv 2605.16384), which says nothing of either. Left out: sampling
(maskgit_sampler.py), MaskGIT's tied output layer, the U-ViT of TiTok-S. Parameter names are those of TiTok's code.

An image's codes are a row of N numbers. Where lengths vary, a row has ABSENT where the image has no code; the others,
in their order, are its sequence. A tokenizer may tell where on a grid a code stands: then the last `places` numbers of
a row are those of the grid, and the network learns the places of its codes beside the codes.

Shapes: B samples, N numbers of a row, S slots of the longest sequence, k codes that stand nowhere, P = N - k places,
V vocabulary, D width, M masked slots.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.nn.bert import Bert, initialise
from tesserae.nn.masking import draw_masked, groups_by_length, real_slots

ABSENT = -1
PADDING = 0.1  # at most, of the slots of a batch
# The official optimiser decays no parameter with fewer than two axes, nor one whose name contains any of these.
UNDECAYED = ("ln", "bias", "embedding", "norm", "gamma", "embed", "token")


class Sequences(NamedTuple):
    """Codes without gaps: of each sample the first `lengths` are real, the rest is padding."""

    codes: Tensor  # int64 (B, S); padding is 0
    places: Tensor | None  # int64 (B, S - k), of those codes that stand somewhere; padding is 0
    lengths: Tensor  # int64 (B,)

    def of(self, rows: list[int]) -> "Sequences":
        """Those of some samples, as long as the longest of them."""
        lengths = self.lengths[rows]
        shorter = self.codes.shape[1] - int(lengths.max())
        codes, places = (x if x is None else x[rows, : x.shape[1] - shorter] for x in self[:2])
        return Sequences(codes, places, lengths)


class MaskGIT(nn.Module):
    """What masked codes are, and where they stand, from those that are known."""

    def __init__(
        self,
        *,
        token_length: int,  # N
        vocabulary: int,
        classes: int,
        width: int,
        blocks: int,
        heads: int,
        ragged: bool,  # whether an image may have fewer than N codes
        slots: int,  # of the longest sequence
        places: int,  # of the grid on which the last numbers of a row stand; 0: none is told
        dropout: float,  # of embeddings, attention and feed-forward outputs
        attention_dropout: float,
        label_dropout: float,
        label_smoothing: float,
        unmasked_weight: float,  # of the loss where nothing was masked
    ):
        super().__init__()
        if not ragged and (slots < token_length or places):
            raise ValueError(
                f"rows of {token_length} codes need a slot for each and no places, not {slots} and {places}"
            )
        if places > token_length:
            raise ValueError(f"{places} places for {token_length} codes")
        self.token_length, self.vocabulary, self.slots, self.places = token_length, vocabulary, slots, places
        self.ragged, self.label_dropout = ragged, label_dropout
        self.label_smoothing, self.unmasked_weight = label_smoothing, unmasked_weight
        # Ids: codes, the mask, classes, no class.
        self.mask, self.first_class, self.null = vocabulary, vocabulary + 1, classes
        self.model = Bert(
            vocabulary=vocabulary + classes + 2,
            positions=1 + slots,
            outputs=vocabulary,
            width=width,
            blocks=blocks,
            heads=heads,
            hidden=4 * width,
            dropout=dropout,
            attention_dropout=attention_dropout,
        )
        # DECISION (D20): codes of both codebooks share their ids, the slot says which is meant; the place of a code is
        # added to its embedding and predicted by a second layer; the last row is the mask's.
        self.place_embeddings = nn.Embedding(places + 1, width) if places else None
        self.place_head = nn.Linear(width, places) if places else None
        if ragged:
            # How many images of each class have a sequence of each length; see `count_lengths`.
            self.register_buffer("length_counts", torch.zeros(classes, slots + 1, dtype=torch.int64))
        initialise(self)

    @property
    def unplaced(self) -> int:
        """k: codes at the start of a sequence that stand nowhere on the grid."""
        return self.token_length - self.places

    # ---- sequences ----------------------------------------------------------------------------------------------

    def sequences(self, tokens: Tensor) -> Sequences:
        """Rows int64 (B, N) -> their sequences. ValueError for rows of other lengths than the network was built for."""
        B, N = tokens.shape
        if self.token_length != N:
            raise ValueError(f"rows of {N} codes for a generator of {self.token_length}: they are another tokenizer's")
        if not self.ragged:
            return Sequences(tokens, None, torch.full((B,), N, device=tokens.device))
        present = tokens != ABSENT
        lengths = present.sum(1)
        longest = int(lengths.max())
        if longest > self.slots:
            raise ValueError(f"a sequence of {longest} codes for a generator of {self.slots} slots: raise `slots`")
        order = (~present).byte().argsort(dim=1, stable=True)[:, :longest]  # the present ones, as they stand
        codes = tokens.gather(1, order).clamp(min=0)
        if not self.places:
            return Sequences(codes, None, lengths)
        if not present[:, : self.unplaced].all():
            raise ValueError(f"a row lacks one of its first {self.unplaced} codes, which stand nowhere on the grid")
        places = (order[:, self.unplaced :] - self.unplaced) * real_slots(lengths, longest)[:, self.unplaced :]
        return Sequences(codes, places, lengths)

    def rows(self, sequences: Sequences) -> Tensor:
        """What `sequences` undoes: each code where it stands, int64 (B, N)."""
        codes, places, lengths = sequences
        B, longest = codes.shape
        rows = codes.new_full((B, self.token_length), ABSENT)
        real = real_slots(lengths, longest)
        at = torch.arange(longest, device=codes.device).expand(B, longest)
        if places is not None:
            at = torch.cat([at[:, : self.unplaced], places + self.unplaced], dim=1)
        sample = torch.arange(B, device=codes.device)[:, None].expand(B, longest)
        rows[sample[real], at[real]] = codes[real]
        return rows

    def count_lengths(self, tokens: Tensor, labels: Tensor) -> None:
        """Take note of how long the sequences (B, N) of images with these labels are: what sampling draws from.

        Call it for the whole training set before training; it also refuses, with the remedy, rows that do not fit.
        """
        lengths = self.sequences(tokens).lengths
        if (highest := int(tokens.max())) >= self.vocabulary:
            raise ValueError(
                f"a code of {highest} for a generator of {self.vocabulary} codes: they are another tokenizer's"
            )
        if self.ragged:
            self.length_counts.index_put_((labels, lengths), torch.ones_like(lengths), accumulate=True)

    # ---- predictions --------------------------------------------------------------------------------------------

    def features(self, sequences: Sequences, masked: Tensor, labels: Tensor) -> Tensor:
        """Sequences of which some slots are `masked` (B, S), labels (B,), `null` for none -> (B, S, D)."""
        return self.model(*self._seen(sequences, masked, labels))[:, 1:]

    def masked_features(self, sequences: Sequences, masked: Tensor, labels: Tensor) -> Tensor:
        """Those of the masked slots alone, in their order: (M, D). Less work than `features`, which has all."""
        return self.model(*self._seen(sequences, masked, labels), wanted=F.pad(masked, (1, 0)))

    def _seen(
        self, sequences: Sequences, masked: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """What the network is given: ids (B, 1 + S), what places add to their embeddings, and which are no padding."""
        codes, places, lengths = sequences
        ids = torch.cat([(labels + self.first_class)[:, None], codes.masked_fill(masked, self.mask)], dim=1)
        added, real = None, None
        if places is not None:
            hidden = places.masked_fill(masked[:, self.unplaced :], self.places)
            added = F.pad(self.place_embeddings(hidden), (0, 0, 1 + self.unplaced, 0))
        if self.ragged:
            real = real_slots(1 + lengths, ids.shape[1])
        return ids, added, real

    def logits(self, features: Tensor) -> Tensor:
        """Features (..., D) -> what is predicted of their codes, (..., V)."""
        return self.model.lm_head(features)

    # ---- training -----------------------------------------------------------------------------------------------

    def losses(self, batch: dict[str, Tensor], step: int, rng: torch.Generator) -> Iterator[tuple[str, dict]]:
        """One ("generator", terms) pair for rows of codes int64 (B, N) and labels (B,); cross-entropies in nats."""
        labels = batch["labels"]
        dropped = torch.rand(labels.shape, generator=rng, device=rng.device).to(labels.device) < self.label_dropout
        sequences = self.sequences(batch["tokens"])
        masked = draw_masked(sequences.lengths, sequences.codes.shape[1], rng)
        yield "generator", self.masked_losses(sequences, masked, labels.masked_fill(dropped, self.null))

    def masked_losses(self, sequences: Sequences, masked: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The terms for given masked slots, bool (B, S): weighted means over all slots of all samples.

        Samples go through the network in groups of similar lengths, which changes no number but for rounding.
        """
        groups = [None]
        if self.ragged:
            groups = groups_by_length(sequences.lengths.tolist(), PADDING)
        sums: dict[str, list[Tensor]] = {}
        for rows in groups:
            some, hidden, classes = sequences, masked, labels
            if rows is not None:
                some = sequences.of(rows)
                hidden, classes = masked[rows, : some.codes.shape[1]], labels[rows]
            features = self.features(some, hidden, classes)
            weights = torch.where(hidden, 1.0, self.unmasked_weight)
            if self.ragged:
                weights = weights * real_slots(some.lengths, hidden.shape[1])
            found = {"cross_entropy": self._weighted(self.logits(features), some.codes, weights)}
            if self.places:
                k = self.unplaced
                found["place_cross_entropy"] = self._weighted(
                    self.place_head(features[:, k:]), some.places, weights[:, k:]
                )
            for name, pair in found.items():
                sums.setdefault(name, []).append(pair)
        totals = {name: torch.stack(pairs).sum(0) for name, pairs in sums.items()}
        return {name: total / (weight + 1e-8) for name, (total, weight) in totals.items()}  # 1e-8: official code

    def _weighted(self, logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """Weighted sum of the cross-entropies of (B, S, C) against (B, S), and the sum of weights: (2,)."""
        losses = F.cross_entropy(
            logits.float().flatten(0, 1), targets.flatten(), label_smoothing=self.label_smoothing, reduction="none"
        )
        return torch.stack([losses @ weights.flatten(), weights.sum()])

    def parameter_groups(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        """One optimiser steps everything."""
        return {"generator": list(self.named_parameters())}

    def no_weight_decay(self, name: str, parameter: nn.Parameter) -> bool:
        """True for what the official optimiser excludes from weight decay."""
        return parameter.ndim < 2 or any(word in name for word in UNDECAYED)


def build(spec: dict) -> MaskGIT:
    """The model of a recipe's resolved `model` settings (the constructor's keywords)."""
    return MaskGIT(**spec)
