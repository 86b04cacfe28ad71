"""Generators as stages use them: what each can do beyond the least of its contract (contracts.py) is asked here."""

from typing import Any


def draws_lengths(generator: Any) -> bool:
    """Whether its sequences differ in length, so that it draws how long each will be (`OfManyLengths`)."""
    return getattr(generator, "ragged", False)
