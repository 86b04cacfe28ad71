"""Random numbers that follow from what they are for: the same for the same codes, on any device and in any batch.

A decoder that draws must make the same image of the same codes, alone or among others; and a stream of its own for each
image would be drawn one after the other on a CPU. Here a number is a hash of the codes and of its own place.

Shapes: B samples, N codes of each.
"""

import math

import torch
from torch import Tensor

BITS = 0xFFFFFFFF  # numbers of 32 bits in int64: products lose what is above them


def mixed(x: Tensor) -> Tensor:
    """Hash int64 (...), of which the lowest 32 bits count, to 32 bits: a bijection (Wellons' lowbias32)."""
    x = (x & BITS) ^ ((x & BITS) >> 16)
    x = (x * 0x7FEB352D) & BITS
    x = x ^ (x >> 15)
    x = (x * 0x846CA68B) & BITS
    return x ^ (x >> 16)


def seeds_of(codes: Tensor) -> Tensor:
    """Codes int64 (B, N) -> a number of 32 bits for each row, int64 (B,), that depends on every code and its place."""
    places = torch.arange(1, codes.shape[1] + 1, device=codes.device)
    return mixed(mixed(mixed(places) + codes).sum(dim=1))


def uniforms(seeds: Tensor, first: int, shape: tuple[int, ...]) -> Tensor:
    """Seeds int64 (B,) -> float32 (B, *shape) in [0, 1): of each seed's numbers those from the `first` on.

    A seed has 2^32 of them.
    """
    numbers = torch.arange(first, first + math.prod(shape), device=seeds.device)
    drawn = mixed(mixed(numbers) ^ seeds[:, None]) >> 8  # float32 tells 24 bits apart
    return (drawn.float() / 2**24).view(len(seeds), *shape)


def normals(seeds: Tensor, first: int, shape: tuple[int, ...]) -> Tensor:
    """Seeds int64 (B,) -> standard normal numbers, float32 (B, *shape), from uniform ones by Box and Muller's rule.

    They use up 2 * prod(shape) numbers of each seed, from the `first` on. None is beyond 5.8 deviations.
    """
    count = math.prod(shape)
    radius = (-2 * torch.log1p(-uniforms(seeds, first, shape))).sqrt()
    return radius * (2 * math.pi * uniforms(seeds, first + count, shape)).cos()
