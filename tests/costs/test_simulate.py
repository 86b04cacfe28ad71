"""List scheduling against what must hold for any schedule."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tesserae.costs.simulate import DoesNotFit, Load, critical_path, schedule

PER_NODE, CORES = 4, 8


@st.composite
def graphs(draw) -> dict[str, Load]:
    loads: dict[str, Load] = {}
    for number in range(draw(st.integers(1, 14))):
        after = draw(st.sets(st.sampled_from(sorted(loads)), max_size=3)) if loads else set()
        gpus = draw(st.integers(0, PER_NODE))
        loads[f"job{number:02d}"] = Load(
            draw(st.integers(1, 50)),
            tuple(sorted(after)),
            draw(st.integers(1, 2)) if gpus else 1,
            gpus,
            draw(st.integers(1, CORES)),
        )
    return loads


def length(loads: dict[str, Load]) -> float:
    return sum(loads[name].seconds for name in critical_path(loads))


def end(slots: dict) -> float:
    return max(slot.end for slot in slots.values())


@given(graphs(), st.integers(2, 4))
def test_no_job_starts_early_and_no_gpu_or_core_is_used_twice(loads, nodes):
    slots = schedule(loads, gpus=nodes * PER_NODE, per_node=PER_NODE, threads=CORES)
    assert slots.keys() == loads.keys()
    for name, slot in slots.items():
        load = loads[name]
        assert slot.end == slot.start + load.seconds
        assert all(slots[before].end <= slot.start for before in load.after)
        used = [number // PER_NODE for number in slot.gpus]
        assert len(set(slot.gpus)) == len(slot.gpus) == load.nodes * load.gpus
        assert all(used.count(node) == load.gpus for node in set(used))
        assert all(0 <= number < nodes * PER_NODE for number in slot.gpus)
    for moment in {slot.start for slot in slots.values()}:
        now = [name for name, slot in slots.items() if slot.start <= moment < slot.end]
        taken = [number for name in now for number in slots[name].gpus]
        assert len(taken) == len(set(taken))
        assert sum(loads[name].threads for name in now if not loads[name].gpus) <= CORES


@given(graphs(), st.integers(2, 4))
def test_wall_time_between_its_bounds(loads, nodes):
    gpus = nodes * PER_NODE
    wall = end(schedule(loads, gpus=gpus, per_node=PER_NODE, threads=CORES))
    work = sum(load.seconds * load.nodes * load.gpus for load in loads.values())
    assert wall >= max(length(loads), work / gpus)
    assert wall <= sum(load.seconds for load in loads.values())  # never idle while something could run


@given(graphs())
def test_without_limits_the_critical_path_is_the_wall_time(loads):
    slots = schedule(loads, gpus=PER_NODE * 2 * len(loads), per_node=PER_NODE, threads=CORES * len(loads))
    assert end(slots) == length(loads)
    path = critical_path(loads)
    assert all(before in loads[after].after for before, after in zip(path, path[1:], strict=False))


@given(st.lists(st.integers(1, 50), min_size=1, max_size=20), st.integers(1, 6))
def test_list_scheduling_is_at_most_twice_the_best(seconds, gpus):
    loads = {str(i): Load(taken, gpus=1) for i, taken in enumerate(seconds)}  # Graham's bound
    wall = end(schedule(loads, gpus=gpus, per_node=1, threads=1))
    assert wall <= 2 * max(max(seconds), sum(seconds) / gpus)


def test_the_longest_way_goes_first():
    loads = {"short": Load(5, gpus=1), "first": Load(5, gpus=1), "second": Load(50, ("first",), gpus=1)}
    slots = schedule(loads, gpus=1, per_node=1, threads=1)
    assert [slots[name].start for name in ("first", "second", "short")] == [0, 5, 55]


def test_a_job_that_can_never_run_is_named():
    with pytest.raises(DoesNotFit, match=r"train asks for 1 x 8 GPUs, but 4 GPUs"):
        schedule({"train": Load(1, gpus=8)}, gpus=4, per_node=8, threads=1)
    with pytest.raises(DoesNotFit, match="2 x 4 GPUs"):  # two whole nodes, where there is one and a half
        schedule({"train": Load(1, nodes=2, gpus=4)}, gpus=6, per_node=4, threads=1)
    with pytest.raises(DoesNotFit, match="9 cores of 8"):
        schedule({"decode": Load(1, threads=9)}, gpus=1, per_node=1, threads=8)
