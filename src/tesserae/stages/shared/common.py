"""Small things that several stages share: devices, and the parts of what is made in parts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tesserae.stages.shared.files import read_json


def pick_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one; asking for CUDA where there is none is an error, not a fallback."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("config/config.yaml: device is cuda, but torch sees no GPU; set it to auto or cpu")
    if name == "cuda":
        torch.set_float32_matmul_precision("high")  # DECISION: sampling and measuring in float32 with TF32 products
    return torch.device(name)


def shard_of(count: int, spec: dict[str, Any]) -> range:
    """Which of `count` items a job works on: part `spec["shard"]` (from 1) of `spec["shards"]` nearly equal ones."""
    part, parts = spec["shard"], spec["shards"]
    return range(count * (part - 1) // parts, count * part // parts)


def same_whole(folders: list[Path], counts: Sequence[int]) -> dict[str, Any]:
    """How the parts of a scattered stage were drawn (their index.json), if they are all of one whole.

    `counts` are the samples in each. Raises ValueError if parts are missing, or were not drawn alike.
    """
    index, *others = [read_json(folder / "index.json") for folder in folders]
    if any(other != index for other in others) or sum(counts) != index["samples"]:
        raise ValueError(
            f"{', '.join(map(str, folders))}: {sum(counts)} samples, drawn alike: "
            f"{all(other == index for other in others)}; {index['samples']} drawn alike are needed: make them again"
        )
    return index
