"""Random numbers from codes: distribution, independence, and that they depend on what they are for alone."""

import pytest
import torch

from tesserae.nn.hashing import BITS, mixed, normals, seeds_of, uniforms


def some_codes(count=64, length=16, vocabulary=32):
    return torch.randint(vocabulary, (count, length), generator=torch.Generator().manual_seed(0))


def test_known_hashes():
    """Computed with unsigned 32-bit integers."""

    def lowbias32(x):
        x = ((x ^ (x >> 16)) * 0x7FEB352D) & BITS
        x = ((x ^ (x >> 15)) * 0x846CA68B) & BITS
        return x ^ (x >> 16)

    numbers = [0, 1, 2, 12345, 2**31, BITS, 0xDEADBEEF]
    assert mixed(torch.tensor(numbers)).tolist() == [lowbias32(x) for x in numbers]
    assert mixed(torch.arange(100_000)).unique().numel() == 100_000  # no two alike
    assert torch.equal(mixed(torch.tensor([5 + 2**32])), mixed(torch.tensor([5])))


def test_uniform_and_independent():
    found = uniforms(seeds_of(some_codes()), 0, (50, 40)).double()
    assert found.shape == (64, 50, 40) and found.min() >= 0 and found.max() < 1
    flat = found.flatten(1)
    assert flat.mean().item() == pytest.approx(0.5, abs=4 * (1 / 12 / flat.numel()) ** 0.5)
    assert flat.var().item() == pytest.approx(1 / 12, rel=0.01)
    ordered = flat.flatten().sort().values
    steps = torch.linspace(0, 1, len(ordered), dtype=torch.float64)
    assert (ordered - steps).abs().max() < 2 / len(ordered) ** 0.5  # Kolmogorov and Smirnov
    for one, other in ((flat[:, 1:], flat[:, :-1]), (flat[1:], flat[:-1]), (found[:, 1:], found[:, :-1])):
        pair = torch.stack([one.flatten(), other.flatten()])
        assert torch.corrcoef(pair)[0, 1].abs() < 4 / pair.shape[1] ** 0.5


def test_numbers_follow_from_codes_and_place_alone():
    codes = some_codes()
    found = uniforms(seeds_of(codes), 0, (6, 5))
    assert torch.equal(uniforms(seeds_of(codes[7:9]), 0, (6, 5)), found[7:9])
    assert torch.equal(uniforms(seeds_of(codes), 10, (4, 5)), found[:, 2:])  # as one stream that is read on
    assert seeds_of(codes).unique().numel() == len(codes)


def test_every_code_and_its_place_count():
    row = some_codes(1)
    changed = row.repeat(16, 1)
    changed[torch.arange(16), torch.arange(16)] += 1
    seeds = torch.cat([seeds_of(row), seeds_of(changed), seeds_of(row.flip(1))])
    assert seeds.unique().numel() == 18


def test_normal_numbers():
    found = normals(seeds_of(some_codes()), 0, (3, 40, 40)).double()
    assert found.shape == (64, 3, 40, 40) and found.isfinite().all() and found.abs().max() < 5.8
    flat = found.flatten()
    assert flat.mean().abs() < 4 / len(flat) ** 0.5 and flat.std().item() == pytest.approx(1, rel=0.005)
    expected = torch.special.ndtr(flat.sort().values)
    assert (expected - torch.linspace(0, 1, len(flat), dtype=torch.float64)).abs().max() < 2 / len(flat) ** 0.5
    both = torch.stack([found[:, 0].flatten(), found[:, 1].flatten()])
    assert torch.corrcoef(both)[0, 1].abs() < 4 / both.shape[1] ** 0.5
    assert torch.equal(normals(seeds_of(some_codes()), 0, (3, 40, 40)), found.float())
