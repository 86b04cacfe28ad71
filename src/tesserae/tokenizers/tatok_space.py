"""How TaTok's tokens move (`TokenSpace` in contracts.py), of which one image keeps other patches than another.

What its decoder reads of a place is a linear map of a unit vector, or the mask token. Both are a linear map of the
vector and of a number that says whether there is one, 1 or 0: v W + p b + (1 - p) m, where v is 0 if nothing is kept.
So a row has a place for every patch that the tokenizer could keep, and its last value is that number.

Shapes: B images, k global tokens, n places of patches (M in the layout "grid"), d and e values of their entries, D the
larger of the two.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tesserae.tokenizers.tatok import NO_CODE
from tesserae.tokenizers.two_codebooks_space import rows

KEPT = 0.5  # from which on a patch counts as kept: a random start keeps 3 of 10


def leaves_out(model: Any) -> bool:
    """Whether an image may have places without a patch: whether rows say which."""
    settings, literal = model.filtering["length"], model.layout == "literal"
    return settings in ("epsilon", "budget") or (settings == "rest" and not literal)


# DECISION: nothing is said of tokens that only one of two images has. Neither the places of one of them nor those of
# both are taken: on the line between them a patch fades into the mask token, as the decoder reads it, or comes out of
# it, and descent moves the number, too. Both ends are what the tokenizer decodes.
def vectors(model: Any, codes: Tensor) -> Tensor:
    """Codes int64 (B, k + n) -> float32 (B, k + n, D + 1), or of width D where all images keep as many patches."""
    k = model.global_tokens
    there = (codes[:, k:] != NO_CODE)[..., None].float()
    patches = there * model.q_patch.lookup(codes[:, k:].clamp(min=0)).float()
    return _rows(model, [model.q_glob.lookup(codes[:, :k]).float()] if k else [], patches, there)


def normalised(model: Any, vectors: Tensor) -> Tensor:
    """Vectors (B, k + n, D + 1), each of unit length, or 0 where the last value says that nothing is kept."""
    of_image, patches, there = _parts(model, vectors)
    there = (there > KEPT).float()
    return _rows(model, [F.normalize(x, dim=-1) for x in of_image], F.normalize(patches, dim=-1) * there, there)


def images(model: Any, vectors: Tensor, *, seeds: list[int]) -> Tensor:
    """Vectors (B, k + n, D + 1) -> images (B, 3, S, S). Nothing is drawn."""
    of_image, patches, there = _parts(model, vectors)
    layer = model.q_patch.out
    read = F.linear(patches, layer.weight) + there * layer.bias + (1 - there) * model.mask_token
    embedded = model.q_glob.out(of_image[0]) if of_image else None
    return model.rebuild(embedded, read, torch.ones_like(there[..., 0], dtype=torch.bool))


def _rows(model: Any, of_image: list[Tensor], patches: Tensor, there: Tensor) -> Tensor:
    """Entries (B, k, d), if there are any, and (B, n, e), and (B, n, 1) -> (B, k + n, D + 1)."""
    found = rows([*of_image, patches])
    if not leaves_out(model):
        return found
    return torch.cat([found, torch.cat([*(x[..., :1] for x in of_image), there], dim=1)], dim=2)


def _parts(model: Any, vectors: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
    """The inverse of `_rows`."""
    k, e = model.global_tokens, model.q_patch.embedding.embedding_dim
    patches, last = vectors[:, k:, :e], vectors[:, k:, -1:]
    there = last if leaves_out(model) else torch.ones_like(last)
    of_image = [vectors[:, :k, : model.q_glob.embedding.embedding_dim]] if k else []
    return of_image, patches, there
