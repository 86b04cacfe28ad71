"""Sizes as specs give them."""

from typing import TypedDict


class TransformerSize(TypedDict):
    width: int
    blocks: int
    heads: int
