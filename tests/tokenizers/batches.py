"""Random numbers, images and losses, as tests of tokenizers need them."""

import torch
from torch import Tensor, nn

from tests import golden


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_images(count: int = 4, side: int = 16, seed: int = 0) -> Tensor:
    """(count, 3, side, side), noise in [-1, 1]."""
    return 2 * torch.rand(count, 3, side, side, generator=seeded(seed)) - 1


def coloured_images() -> Tensor:
    """(2, 3, 64, 64), about [-1, 1]: noise about a colour each, of which golden numbers of TiTok and SFTok are made."""
    colours = golden.seeded_array("colours", (2, 3, 1, 1), 0.5)
    return 2 * (golden.seeded_array("pixels", (2, 3, 64, 64), 0.2) + colours + 0.5) - 1


def with_codes(count: int = 4, side: int = 16, patches: int = 16, codes: int = 20) -> dict[str, Tensor]:
    """A batch of images and the codes of a proxy, `patches` for each image and so many different ones."""
    rng = seeded()
    images = 2 * torch.rand(count, 3, side, side, generator=rng) - 1
    return {"images": images, "codes": torch.randint(codes, (count, patches), generator=rng)}


def losses_of(model: nn.Module, batch: dict[str, Tensor], step: int = 0, seed: int = 0) -> dict[str, dict[str, Tensor]]:
    """The terms of each group of parameters, in whose order they are asked for."""
    return {group: terms for group, terms, *_ in model.losses(batch, step, seeded(seed))}


def all_losses(model: nn.Module, images: Tensor, step: int = 0, seed: int = 0) -> dict[str, dict[str, Tensor]]:
    """As `losses_of`, of images alone."""
    return losses_of(model, {"images": images}, step, seed)


def reached(model: nn.Module, terms: dict[str, Tensor]) -> set[str]:
    """Parts that the gradient of a loss reaches."""
    model.zero_grad()
    sum(terms.values()).backward()
    return {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
