"""A job's tokenizer, and its tokens as what can be moved without steps (`TokenSpace` in contracts.py).

Shapes: B images (B, 3, S, S) in [-1, 1], vectors (B, M, C) of their tokens.
"""

import importlib
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from tesserae.data.cache import Images
from tesserae.data.floats import float_images
from tesserae.lineage.work import Work
from tesserae.stages.shared.common import pick_device
from tesserae.stages.shared.side_inputs import open_prompts
from tesserae.stages.shared.tokenizers import draws_in_steps, encode
from tesserae.training import weights


class Moving:
    """Of one job: its spec says the module of the space, its inputs are a tokenizer and the prompts that it reads."""

    def __init__(self, work: Work) -> None:
        self.device = pick_device(work.device)
        self.model: Any = weights.load(work.inputs["tokenizer"] / "weights.safetensors").to(self.device)
        self.space, self.prompts = importlib.import_module(work.spec["space"]), open_prompts(work)
        self.steps = work.spec.get("drawing_steps")  # None where nothing is decoded

    @property
    def drawn(self) -> dict[str, int]:
        """Keywords of decoders that draw; those that do not know no steps."""
        return {"steps": self.steps} if draws_in_steps(self.space) else {}

    def pictures(self, data: Images, rows: np.ndarray) -> Tensor:
        """Some images (B, 3, S, S) of a set."""
        return float_images(data.images[rows], self.device)

    def vectors(self, data: Images, rows: np.ndarray) -> Tensor:
        """Vectors (B, M, C) of some images of a set."""
        text = None
        if self.prompts is not None:
            text = self.prompts.of(torch.from_numpy(np.array(data.labels[rows]))).to(self.device)
        with torch.no_grad():
            return self.space.vectors(self.model, encode(self.model, self.pictures(data, rows), text))

    def normalised(self, vectors: Tensor) -> Tensor:
        """Any vectors (B, M, C) -> such as the tokenizer can make."""
        return self.space.normalised(self.model, vectors)

    def images_of(self, seeds: list[int]) -> Callable[[Tensor], Tensor]:
        """Vectors (B, M, C) -> images (B, 3, S, S), from the noise of B seeds if the decoder draws."""
        return lambda vectors: self.space.images(self.model, vectors, seeds=seeds, **self.drawn)


def parts(rows: np.ndarray, batch: int) -> Iterator[tuple[int, np.ndarray]]:
    """(where it begins, rows) of consecutive parts of at most `batch`."""
    for start in range(0, len(rows), batch):
        yield start, rows[start : start + batch]


@contextmanager
def bar(title: str, total: int, unit: str) -> Iterator[Callable[[int], object]]:
    """A progress bar; what it yields moves it on."""
    with tqdm(total=total, desc=title, unit=unit, mininterval=1.0) as shown:
        yield shown.update


@contextmanager
def resuming(work: Work) -> Iterator[None]:
    """State of another identity is deleted; SIGUSR1, sent before a job's time is up, ends it with 75 (queue it again):
    what is `kept` counts.
    """
    for other in work.state.glob("*"):
        if other.is_dir() and other.name != work.identity:
            shutil.rmtree(other)
    before = signal.signal(signal.SIGUSR1, lambda *_: sys.exit(75))
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


def kept(work: Work, name: str, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Arrays that an interrupted run of this very job made, or made now, and kept for another one."""
    folder = work.state / work.identity
    file = folder / f"{name}.npz"
    if not file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f".{name}.partial.npz"
        np.savez(partial, **make())
        partial.replace(file)
    with np.load(file) as found:
        return dict(found)
