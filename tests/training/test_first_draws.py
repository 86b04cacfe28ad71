"""First weights that do not depend on what else a network has."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from tesserae.config.stages import STAGES
from tesserae.stages.shared.training import new_network
from tesserae.training.first_draws import build_alike
from tesserae.workflow.plan import open_plan
from tests.conftest import ROOT


def network(*middle: nn.Module):
    """An encoder, what stands between, and a decoder whose weights are filled in several ways, one of them twice."""

    def make() -> nn.Module:
        made = nn.Module()
        made.encoder = nn.Linear(32, 64)
        made.middle = nn.ModuleList(kind() for kind in middle)
        made.decoder = nn.Linear(64, 32)
        made.tokens = nn.Parameter(torch.randn(5, 7))
        made.places = nn.Parameter(torch.empty(400, 300))
        nn.init.trunc_normal_(made.places, std=1.0, a=-1.0, b=1.0)  # draws again what lies outside
        nn.init.orthogonal_(made.decoder.weight)
        made.after = nn.Parameter(torch.empty(6))
        nn.init.normal_(made.after)
        return made

    return make


def weights(seed: int, *middle) -> dict[str, torch.Tensor]:
    return dict(build_alike(network(*middle), seed).named_parameters())


def test_weights_of_one_name_and_shape_are_the_same_whatever_stands_between():
    plain = weights(3)
    for middle in ((lambda: nn.Linear(8, 8),), (lambda: nn.Linear(64, 32), nn.Identity, lambda: nn.Linear(32, 64))):
        other = weights(3, *middle)
        assert all(torch.equal(weight, other[name]) for name, weight in plain.items())
    wider = dict(build_alike(lambda: nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 5)), 3).named_parameters())
    narrow = dict(build_alike(lambda: nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 5)), 3).named_parameters())
    assert not any(
        torch.equal(wider[name], narrow[name]) for name in wider if wider[name].shape == narrow[name].shape == (5, 4)
    )


def test_other_seeds_names_and_shapes_have_other_weights():
    one, other = weights(3), weights(4)
    assert not any(torch.equal(one[name], other[name]) for name in one)
    layers = build_alike(lambda: nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)), 0)
    assert not torch.equal(layers[0].weight, layers[1].weight)


def test_they_are_distributed_as_ever_and_known_again():
    found = weights(0)
    places = found["places"]
    assert places.abs().max() <= 1 and places.std().item() == pytest.approx(0.5396, abs=0.004)  # of N(0, 1) in [-1, 1]
    assert torch.allclose(found["decoder.weight"] @ found["decoder.weight"].T, torch.eye(32), atol=1e-5)
    assert found["encoder.weight"].abs().max() <= 32**-0.5
    again = weights(0)
    assert all(torch.equal(weight, again[name]) for name, weight in found.items())


def test_what_is_drawn_afterwards_follows_from_the_seed_alone():
    drawn = []
    for middle in ((), (lambda: nn.Linear(8, 8),)):
        weights(5, *middle)
        drawn.append(torch.rand(3))
    assert torch.equal(*drawn)


def test_a_network_that_is_drawn_otherwise_the_second_time_is_refused():
    made = []

    def make() -> nn.Module:
        made.append(nn.Linear(2, 2))
        return nn.Sequential(*(nn.Linear(2, 2) for _ in made))

    with pytest.raises(RuntimeError, match="drawn in 4 calls once, and in 6"):
        build_alike(make, 0)


def test_rows_of_a_table_start_alike():
    jobs = open_plan(ROOT, "smoke").jobs
    of = {}
    for job in jobs.values():
        if STAGES[job.stage].trains and "official" not in job.spec:
            of.setdefault(job.spec["module"], []).append(job)
    assert len(of) > 10
    for module, some in of.items():
        alike = [job for job in some if job.spec["training"]["seed"] == some[0].spec["training"]["seed"]][:3]
        first, *others = (dict(new_network(SimpleNamespace(spec=job.spec)).named_parameters()) for job in alike)
        for other in others:
            shared = [name for name in first if name in other and first[name].shape == other[name].shape]
            same = sum(torch.equal(first[name], other[name]) for name in shared)
            assert shared and same >= 0.9 * len(shared), module
