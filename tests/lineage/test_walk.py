"""Walks upstream: sets, near ones first, producers first; every name once, whatever the graph."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tesserae.lineage.walk import nearest_first, producers_first, upstream

#   a <- b <- d, a <- c <- d, c <- e
MADE_FROM = {"a": [], "b": ["a"], "c": ["a"], "d": ["c", "b"], "e": ["c"]}


@st.composite
def graphs(draw) -> dict[str, list[str]]:
    graph: dict[str, list[str]] = {}
    for number in range(draw(st.integers(1, 12))):
        graph[f"n{number}"] = draw(st.lists(st.sampled_from(sorted(graph)), unique=True)) if graph else []
    return graph


def test_orders():
    assert nearest_first(MADE_FROM.get, ["d"]) == ["d", "c", "b", "a"]
    assert producers_first(MADE_FROM.get, ["d", "e"]) == ["a", "c", "b", "d", "e"]
    assert upstream(MADE_FROM.get, ["e"]) == {"e", "c", "a"}


@given(graphs(), st.data())
def test_each_once_and_after_what_it_is_made_from(graph, data):
    wanted = data.draw(st.lists(st.sampled_from(sorted(graph)), unique=True))
    ordered = producers_first(graph.get, wanted)
    assert sorted(ordered) == sorted(nearest_first(graph.get, wanted)) == sorted(upstream(graph.get, wanted))
    place = {name: i for i, name in enumerate(ordered)}
    assert all(place[producer] < place[name] for name in ordered for producer in graph[name])


def test_a_circle_ends():
    circle = {"a": ["b"], "b": ["a"]}
    assert producers_first(circle.get, ["a"]) == ["b", "a"] and nearest_first(circle.get, ["a"]) == ["a", "b"]


def test_what_is_unknown_is_said():
    with pytest.raises(KeyError):
        upstream(MADE_FROM.__getitem__, ["nothing"])
