"""PARSeq (Bautista and Atienza, arXiv 2207.06966): the reader of CompTok's text domain (D4); it is not trained here.

Sec. 3.2 (architecture) and 3.4 (decoding): letters are read one after another, and once again with all others in sight
("cloze" refinement). Names of parts are those of the official code (github.com/baudm/parseq), so that its weights fit.

Shapes: B words in images of 32 x 128 pixels, N patches, W width, Q = longest + 1 places, one for the word's end; V =
95 answers: the end, then 94 letters.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.nn.official import load_strictly
from tesserae.nn.official import read_official as read_tensors

# The order of the official configuration, charset/94_full.
LETTERS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
END, BEGIN, NOTHING = 0, 1 + len(LETTERS), 2 + len(LETTERS)
MLP_RATIO = 4


class Encoder(VisionTransformer):
    """All patches after the last norm; there is no class token."""

    def __init__(self, side: Sequence[int], patch: Sequence[int], width: int, blocks: int, heads: int) -> None:
        super().__init__(
            img_size=tuple(side),
            patch_size=tuple(patch),
            embed_dim=width,
            depth=blocks,
            num_heads=heads,
            mlp_ratio=MLP_RATIO,
            num_classes=0,
            global_pool="",
            class_token=False,
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.forward_features(images)


class DecoderLayer(nn.Module):
    """Places look at the letters so far, then at the image. One layer: letters themselves stay as they are."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.cross_attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(width, MLP_RATIO * width), nn.Linear(MLP_RATIO * width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.norm_q, self.norm_c = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(
        self, places: Tensor, letters: Tensor, image: Tensor, hidden: Tensor | None, padding: Tensor | None
    ) -> Tensor:
        """Places (B, q, W), letters (B, l, W), image (B, N, W); bool (q, l) and (B, l): what is hidden."""
        context = self.norm_c(letters)
        seen, _ = self.self_attn(
            self.norm_q(places), context, context, attn_mask=hidden, key_padding_mask=padding, need_weights=False
        )
        places = places + seen
        places = places + self.cross_attn(self.norm1(places), image, image, need_weights=False)[0]
        return places + self.linear2(F.gelu(self.linear1(self.norm2(places))))


class Decoder(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([DecoderLayer(width, heads)])
        self.norm = nn.LayerNorm(width)

    def forward(
        self, places: Tensor, letters: Tensor, image: Tensor, hidden: Tensor | None, padding: Tensor | None
    ) -> Tensor:
        return self.norm(self.layers[0](places, letters, image, hidden, padding))


class Letters(nn.Module):
    """Vectors of letters, as long as sqrt(W) times their entries."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(3 + len(LETTERS), width)

    def forward(self, letters: Tensor) -> Tensor:
        return math.sqrt(self.embedding.embedding_dim) * self.embedding(letters)


class Parseq(nn.Module):
    """`side`, `patch`: height and width in pixels; `longest`: letters of a word at most."""

    def __init__(
        self,
        side: Sequence[int],
        patch: Sequence[int],
        width: int,
        blocks: int,
        encoder_heads: int,
        decoder_heads: int,
        longest: int,
    ) -> None:
        super().__init__()
        self.side, self.longest = tuple(side), longest
        self.encoder = Encoder(side, patch, width, blocks, encoder_heads)
        self.decoder = Decoder(width, decoder_heads)
        self.head = nn.Linear(width, 1 + len(LETTERS))
        self.text_embed = Letters(width)
        self.pos_queries = nn.Parameter(0.02 * torch.randn(1, longest + 1, width))

    def forward(self, words: Tensor) -> Tensor:
        """Words (B, 3, H, W) in [-1, 1] -> logits (B, Q, V): greedy, from left to right, then refined once."""
        image, steps = self.encoder(words), self.longest + 1
        later = torch.ones(steps, steps, dtype=torch.bool, device=words.device).triu(1)
        said = torch.full((len(words), 1), BEGIN, device=words.device)
        for step in range(steps - 1):
            logits = self.answers(slice(step, step + 1), said, image, later[step : step + 1, : step + 1], None)
            said = torch.cat([said, logits[:, 0].argmax(dim=1, keepdim=True)], dim=1)
            if (said == END).any(dim=1).all():
                break
        else:  # no word ends before the last place, which is asked for as well
            step = steps - 1
        context = said[:, : step + 1]  # what was said last has no place behind it
        itself = torch.eye(steps, dtype=torch.bool, device=words.device).roll(1, dims=1).triu(1)
        padding = (context == END).cumsum(dim=1) > 0
        return self.answers(slice(0, steps), context, image, itself[:, : context.shape[1]], padding)

    def answers(
        self, places: slice, said: Tensor, image: Tensor, hidden: Tensor | None, padding: Tensor | None
    ) -> Tensor:
        """Logits (B, q, V) at places, from what was said before: letters int64 (B, l), the first one BEGIN.

        BEGIN has no place; a letter has that at which it was said.
        """
        begin = self.text_embed(said[:, :1])
        letters = self.pos_queries[:, : said.shape[1] - 1] + self.text_embed(said[:, 1:])
        asked = self.pos_queries[:, places].expand(len(said), -1, -1)
        return self.head(self.decoder(asked, torch.cat([begin, letters], dim=1), image, hidden, padding))

    def read(self, words: Tensor) -> list[str]:
        """The likeliest letter of each place, up to the first end."""
        found = []
        for places in self(words).argmax(dim=2).tolist():
            length = places.index(END) if END in places else len(places)
            found.append("".join(LETTERS[letter - 1] for letter in places[:length]))
        return found


def build(model: dict[str, Any]) -> Parseq:
    return Parseq(**model)


def read_official(path: Path) -> dict[str, Tensor]:
    """The tensors of the published file; ValueError if they cannot be read."""
    return read_tensors(path)


def load_official(model: Parseq, state: Mapping[str, Tensor]) -> None:
    """Copy published weights; ValueError that lists what does not fit."""
    load_strictly(model, state)
