"""A probe on whatever stands for an image: the one road of the stages `probe` and `probe_control`.

Shapes: N images of a split, n tokens of each, d values of a token; K candidates of an image.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from tesserae.data.targets import Targets, open_targets
from tesserae.lineage.measures.probe import Probe
from tesserae.lineage.work import Work
from tesserae.probes import fit, tasks, transformer
from tesserae.stages.shared.common import pick_device

MODULE = "tesserae.probes.transformer"


class Features(NamedTuple):
    """What stands for the images of a split."""

    images: int  # N
    at: Callable[[np.ndarray], tuple[Tensor, Tensor | None]]  # rows (B,) -> float32 (B, n, d), bool (B, n) or None


class Probed(NamedTuple):
    """A trained probe, its settings, and its numbers in percent."""

    probe: nn.Module
    model: dict[str, Any]
    fitted: fit.Fitted
    values: dict[str, float]


def stored(folder: Path, split: str) -> Features:
    """Tokens that the stage `probe_tokens` wrote."""
    tokens, there = (np.load(folder / f"{split}_{name}.npy", mmap_mode="r") for name in ("tokens", "there"))
    whole = bool(there.all())

    def at(rows: np.ndarray) -> tuple[Tensor, Tensor | None]:
        return torch.from_numpy(tokens[rows]).float(), None if whole else torch.from_numpy(there[rows])

    return Features(len(tokens), at)


def check_same_images(work: Work, features: Mapping[str, Features], targets: Targets) -> None:
    """ValueError if tokens and targets are not of the same images: a probe on tokens of another data set."""
    for split, some in features.items():
        asked = targets.of(split).images
        if some.images != asked:
            raise ValueError(
                f"{work.title}: {split} has {some.images} images as tokens and {asked} in {work.inputs['targets']}: "
                "both have to be of one data set"
            )


def probed(work: Work, features: Mapping[str, Features]) -> Probed:
    """Train the spec's probe on features of `train`, stop by those of `val`, and count what it gets right."""
    targets, device = open_targets(work.inputs["targets"]), pick_device(work.device)
    check_same_images(work, features, targets)
    asking = _Asking(work, targets, features, device)
    tokens = features["train"].at(np.arange(1))[0].shape[1:]
    model = work.spec["model"] | {
        "tokens": tokens[0],
        "token_width": tokens[1],
        "outputs": 1 if targets.task == "relations" else len(targets.names),
        "phrase_width": None if asking.phrases is None else asking.phrases.shape[1],
    }
    settings = fit.Settings(**work.spec["training"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        probe = transformer.build(model).to(device)
    counts = (features["train"].images, features["val"].images)
    fitted = fit.fit(probe, targets.task, *counts, (asking.train, asking.val), settings, work.title)
    probe.load_state_dict(fitted.weights)
    # Of other images' tokens: what can be right without seeing the image that is asked about.
    others = np.random.default_rng(settings.seed).permutation(counts[1])
    away = np.empty_like(others)
    away[others] = np.roll(others, 1)
    elsewhere = fit.evaluate(
        probe, targets.task, counts[1], lambda rows, rng: asking.val(rows, rng, away[rows]), settings
    )
    values = {
        "accuracy": 100 * float(fitted.hits[fitted.best].mean()),
        "held_out": fit.held_out(fitted.hits, settings.seed),
        "shuffled": 100 * float(elsewhere.mean()),
        "chance": chance_of(targets),
        "negatives": float(targets.negatives),
        "epochs": float(len(fitted.losses)),
        "best_epoch": float(fitted.best + 1),
        "parameters": float(sum(parameter.numel() for parameter in probe.parameters())),
    }
    return Probed(probe, model, fitted, values)


def chance_of(targets: Targets) -> float:
    """Percent that is right without an image: one of the candidates, or the commonest classes of training."""
    if targets.task == "relations":
        return tasks.chance("relations", torch.empty(0), torch.empty(0), 1 + targets.negatives)
    answers = [torch.from_numpy(split.answers.astype(np.int64)) for split in (targets.train, targets.val)]
    return tasks.chance(targets.task, *answers, len(targets.names))


def measure_of(work: Work, latents: str, prompt: str) -> Probe:
    """How the numbers of a probe were obtained."""
    targets, spec = open_targets(work.inputs["targets"]), work.spec
    model, training = spec["model"], spec["training"]
    asked = {"pairs": f"both of two categories among the top {tasks.top_of(len(targets.names))}"}
    asked |= {
        "classes": f"one of {len(targets.names)} classes",
        "relations": f"a triplet among {1 + targets.negatives}",
    }
    more = {"negatives": targets.negatives, "phrases": spec["encoder"]} if targets.task == "relations" else {}
    return Probe(
        probe=f"probe of {model['blocks']} blocks of width {model['width']}, {asked[targets.task]}",
        reference=f"{work.inputs['targets'].name} val",
        samples=targets.val.images,
        chance=f"{chance_of(targets):.2f}",
        latents=latents,
        weights=f"best of at most {training['epochs']} epochs, by the validation images themselves",
        prompt=prompt,
        **more,
    )


def by_role(phrases: Tensor, triplets: Tensor, names: int) -> Tensor:
    """Phrases (names + predicates, W), triplets int64 (..., 3) -> (..., 3, W)."""
    subject, predicate, object_ = triplets.unbind(dim=-1)
    return phrases[torch.stack([subject, predicate + names, object_], dim=-1)]


class _Asking:
    """Batches of a job's probe: what it reads, and what is right."""

    def __init__(self, work: Work, targets: Targets, features: Mapping[str, Features], device: torch.device) -> None:
        self.targets, self.features, self.device = targets, features, device
        self.phrases = None
        if targets.task == "relations":
            self.phrases = torch.from_numpy(np.load(work.inputs["phrases"] / "phrases.npy")).to(device)

    def train(self, rows: np.ndarray, rng: np.random.Generator) -> tuple[tuple[Tensor | None, ...], Tensor]:
        if self.phrases is None:
            return self._of("train", rows, rows, None)
        asked = np.stack([self.targets.candidates(int(image), rng) for image in rows])
        return self._of("train", rows, rows, asked)

    def val(
        self, rows: np.ndarray, rng: np.random.Generator, seen: np.ndarray | None = None
    ) -> tuple[tuple[Tensor | None, ...], Tensor]:
        """`seen`: images whose tokens are read instead of those of the images asked about."""
        asked = None if self.phrases is None else self.targets.val.asked[rows]
        return self._of("val", rows, rows if seen is None else seen, asked)

    def _of(
        self, split: str, rows: np.ndarray, seen: np.ndarray, asked: np.ndarray | None
    ) -> tuple[tuple[Tensor | None, ...], Tensor]:
        tokens, there = self.features[split].at(seen)
        read = tokens.to(self.device), None if there is None else there.to(self.device)
        if asked is None:
            answers = torch.from_numpy(self.targets.of(split).answers[rows].astype(np.int64)).to(self.device)
            return (*read, None), answers
        triplets = torch.from_numpy(asked).to(self.device)
        words = by_role(self.phrases, triplets, len(self.targets.names))
        return (*read, words), torch.zeros(len(rows), dtype=torch.int64, device=self.device)
