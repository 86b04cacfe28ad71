"""From FLOP to hours: three numbers, fitted on three published trainings and checked on four others.

A training takes, per image and GPU,

    overhead + FLOP / (efficiency x peak), and with a discriminator an overhead of its own

where bfloat16 and TF32 work have peaks of their own, and the overheads (data, norms, optimizers, averaging, launches,
waiting for other GPUs) are what does not grow with the matrix work. All anchors have the same discriminator, so that
they cannot tell whether what it takes beyond its FLOP grows with them; ASSUMPTION: it does not. Sampling and features
take the same efficiency and no overhead. Source of the hours: l-DeTok (arXiv 2507.15856), A.1 and A.2, on A100s.
"""

import csv
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tesserae.costs.counts import count
from tesserae.costs.gpus import GPU, GPUS, REFERENCE
from tesserae.costs.phases import from_the_start, second_phase

TABLE = "GPU-hours"


@dataclass(frozen=True)
class Rates:
    """Seconds of one GPU, from counts."""

    gpu: GPU
    overhead: float  # seconds per image of a training
    efficiency: float  # fraction of the peak that training and inference attain
    adversarial: float  # seconds per image of a step with a discriminator, beside its FLOP

    def seconds(self, flops: Mapping[str, float]) -> float:
        """Of matrix work, FLOP by precision."""
        return _at_peak(flops, self.gpu) / (self.efficiency * self.gpu.attained)

    def training(self, counted: Mapping[str, Any], adversarial_fraction: float) -> float:
        """Per image of a training; adversarial_fraction: of the steps that have a discriminator."""
        gan = self.adversarial + self.seconds(counted["adversarial"])
        return self.overhead + self.seconds(counted["flops"]) + adversarial_fraction * gan

    def on(self, gpu: GPU) -> "Rates":
        """The same programs on another GPU. ASSUMPTION: the overheads shrink as the memory gets faster."""
        slower = self.gpu.bandwidth / gpu.bandwidth
        return Rates(gpu, self.overhead * slower, self.efficiency, self.adversarial * slower)


def _at_peak(flops: Mapping[str, float], gpu: GPU) -> float:
    return flops["bf16"] / gpu.bf16 + flops["fp32"] / gpu.tf32


def adversarial_fraction(spec: Mapping[str, Any]) -> float:
    """Which fraction of a training's steps has a discriminator, or CompTok's three losses."""
    start, steps = second_phase(spec["model"]), spec["training"]["steps"]
    return 0.0 if start is None else max(0.0, 1 - start / steps)


def published_hours(file: Path) -> dict[str, tuple[float, float]]:
    """Row -> lowest and highest A100-hours of the published file."""
    found: dict[str, dict[str, float]] = {}
    with open(file, newline="", encoding="utf-8") as opened:
        for line in csv.DictReader(opened):
            if line["table"] == TABLE:
                found.setdefault(line["row"], {})[line["column"]] = float(line["value"])
    return {row: (min(hours.values()), max(hours.values())) for row, hours in found.items()}


@dataclass(frozen=True)
class Check:
    """One anchor: hours as printed (a range has a lower and an upper end) and as predicted."""

    row: str
    fitted: bool
    low: float
    high: float
    predicted: float

    @property
    def reported(self) -> float:
        """The geometric middle of the range."""
        return math.sqrt(self.low * self.high)

    @property
    def ratio(self) -> float:
        return self.predicted / self.reported


def calibrate(anchors: list[dict[str, Any]], hours: Mapping[str, tuple[float, float]]) -> tuple[Rates, list[Check]]:
    """Rates of the reference GPU that the fitted anchors give, and every anchor's check.

    Raises ValueError if the fitted anchors do not determine positive rates, KeyError for an anchor without hours.
    """
    gpu = GPUS[REFERENCE]
    rows = [_row(anchor, gpu) for anchor in anchors]
    seconds = [3600 * math.sqrt(math.prod(hours[anchor["row"]])) for anchor in anchors]
    fitted = [i for i, anchor in enumerate(anchors) if anchor["fitted"]]
    solved, *_ = np.linalg.lstsq(
        np.array([rows[i] for i in fitted]) / np.array([[seconds[i]] for i in fitted]), np.ones(len(fitted))
    )
    if not (solved > 0).all():
        raise ValueError(f"the fitted anchors give rates that are not positive: {solved}; choose others")
    overhead, inverse, adversarial = map(float, solved)
    checks = [
        Check(anchor["row"], anchor["fitted"], *hours[anchor["row"]], float(np.dot(row, solved)) / 3600)
        for anchor, row in zip(anchors, rows, strict=True)
    ]
    return Rates(gpu, overhead, 1 / inverse, adversarial), checks


def _row(anchor: dict[str, Any], gpu: GPU) -> tuple[float, float, float]:
    """Images, seconds at peak, and images with a discriminator of a whole training: what the rates multiply."""
    training = anchor["training"]
    counted = count_training(anchor)
    images = training["steps"] * training["batch"]
    at_peak = images * _at_peak(counted["flops"], gpu)
    if "sampler" in anchor:
        sampled = count("sampling", anchor["module"], model=anchor["model"], sampler=anchor["sampler"], batch=1)
        evaluated = anchor["evaluated"]
        generated = evaluated["epochs"] // evaluated["every"] * evaluated["images"] * evaluated["halves"]
        bf16 = {"bf16": sampled["flops"]["fp32"], "fp32": 0.0}  # the official code samples under autocast
        at_peak += generated * _at_peak(bf16, gpu)
    judged = images * adversarial_fraction(anchor)
    return images, at_peak + judged * _at_peak(counted["adversarial"], gpu), judged


def count_training(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Counts of one pass of a training: the images of one micro-batch."""
    training = spec["training"]
    images = training["batch"] // training["microbatches"]
    model = spec["model"]
    # However strong the noise is, whenever the discriminator starts and whichever patches are kept first, a step costs
    # the same: counted once.
    if model.get("gamma"):
        model = model | {"gamma": 1.0, "noise": "interpolative"}
    model = from_the_start(model)
    if model.get("filtering"):
        model = model | {"filtering": model["filtering"] | {"order": "score"}}
    return count("training", spec["module"], model=model, batch=images, precision=training["precision"])


def as_json(checks: list[Check]) -> list[dict[str, Any]]:
    return [asdict(check) | {"reported": check.reported, "ratio": check.ratio} for check in checks]
