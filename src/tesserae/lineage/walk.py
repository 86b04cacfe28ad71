"""From something to all that it was made from. `producers` names what one thing is made from directly."""

from collections.abc import Callable, Iterable

Producers = Callable[[str], Iterable[str]]


def upstream(producers: Producers, wanted: Iterable[str]) -> set[str]:
    """`wanted` and all that they are made from."""
    return set(nearest_first(producers, wanted))


def nearest_first(producers: Producers, wanted: Iterable[str]) -> list[str]:
    """`wanted`, then what they are made from, then what that is made from: each where it is met first."""
    seen = dict.fromkeys(wanted)
    layer = list(seen)
    while layer:
        layer = list(dict.fromkeys(name for each in layer for name in producers(each) if name not in seen))
        seen |= dict.fromkeys(layer)
    return list(seen)


def producers_first(producers: Producers, wanted: Iterable[str]) -> list[str]:
    """`wanted` and all that they are made from, each after what it is made from; a circle is cut where it closes."""
    done: dict[str, None] = {}
    begun: set[str] = set()
    todo = [(name, False) for name in reversed(list(wanted))]
    while todo:
        name, above = todo.pop()  # above: all that it is made from stands in `done`
        if above:
            done[name] = None
        elif name not in begun:
            begun.add(name)
            todo.append((name, True))
            todo += [(producer, False) for producer in reversed(list(producers(name)))]
    return list(done)
