"""From something to all that it was made from."""

from collections.abc import Callable, Iterable


def upstream(producers: Callable[[str], Iterable[str]], wanted: Iterable[str]) -> set[str]:
    """`wanted` and all that they are made from; `producers` names what one thing is made from directly."""
    seen: set[str] = set()
    todo = list(wanted)
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += producers(name)
    return seen
