"""Stage `throughput`: images a second of a generator and of its tokenizer's decoder, in turn with another generator.

Source: TaTok (arXiv 2605.16384), Table 1, column T, whose protocol is not printed; loops and what is timed are those of
the RQ-VAE repository (DECISION D23). The job runs alone on its machine: the table of stages says so.
"""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tesserae.lineage.manifest import hardware
from tesserae.lineage.measures.speed import Speed, other_batches
from tesserae.lineage.work import Work
from tesserae.stages.shared.common import pick_device
from tesserae.stages.shared.generators import draws_lengths
from tesserae.stages.shared.numbers import write_numbers
from tesserae.stages.shared.progress import slices
from tesserae.stages.shared.sampling import FINAL, Drawer, labels_of, open_drawer, seeds_of


class Seconds(NamedTuple):
    """Of one loop over all images."""

    generator: float
    decoder: float

    @property
    def both(self) -> float:
        return self.generator + self.decoder


@torch.inference_mode()
def run(work: Work) -> dict[str, float]:
    """Writes metrics.json, in images a second, from the median loop.

    samples_per_second: drawn and decoded; generator_per_second and decoder_per_second: each half alone; factor: how
    many times as fast the spec's `against` is, in the same loops, unless it is this one; constant_length_per_second: if
    every image had the mean number of codes, where they differ. `batches`: drawn and decoded, by the size of a batch.
    """
    spec, device = work.spec, pick_device(work.device)
    labels = torch.from_numpy(labels_of(spec["samples"], spec["classes"], "cycled", spec["seed"])).to(device)
    seeds = seeds_of(spec["seed"], FINAL, spec["samples"])
    drawers = {role: open_drawer(work, system["sampler"], f"{role}_") for role, system in spec["systems"].items()}
    own, batch = drawers["own"], spec["batch"]

    def time_in_turn(drawers: dict[str, Drawer], batch: int, images: int) -> dict[str, list[Seconds]]:
        """Loops of all of them, each in turn, so that what slows the machine slows all."""
        found: dict[str, list[Seconds]] = {name: [] for name in drawers}
        for number in range(spec["loops"] + 1):
            for name, drawer in drawers.items():
                title = f"{work.title} {name}, batches of {batch}, {number}/{spec['loops']}"
                found[name].append(time_loop(drawer, labels[:images], seeds[:images], batch, title))
        return {name: loops[1:] for name, loops in found.items()}  # the first warms up

    with _full_precision():
        loops = time_in_turn(drawers, batch, len(labels))
        values = {
            "samples_per_second": len(labels) / _both(loops["own"]),
            "generator_per_second": len(labels) / statistics.median(loop.generator for loop in loops["own"]),
            "decoder_per_second": len(labels) / statistics.median(loop.decoder for loop in loops["own"]),
        }
        if "against" in loops:
            values["factor"] = _both(loops["own"]) / _both(loops["against"])
        by_batch = {batch: values["samples_per_second"]}
        for other, images in other_batches(len(labels)).items():
            timed = time_in_turn({"own": own}, other, images)["own"]
            by_batch[other] = images / _both(timed)
        if draws_lengths(own.generator):
            _fix_length(own.generator)
            timed = time_in_turn({"own": own}, batch, len(labels))["own"]
            values["constant_length_per_second"] = len(labels) / _both(timed)
    rates = [len(labels) / loop.both for loop in loops["own"]]
    machine = hardware()
    measure = Speed(
        device=machine["gpu"] if device.type == "cuda" else machine["processor"],
        threads=torch.get_num_threads(),
        precision="float32",
        batch=batch,
        samples=len(labels),
        loops=spec["loops"],
        against=spec["against"],
        guidance=own.settings["guidance"],
    )
    deviation = {"samples_per_second": statistics.stdev(rates)}
    return write_numbers(work, values, measure, deviation=deviation, batches=by_batch)


def time_loop(drawer: Drawer, labels: Tensor, seeds: list[int], batch: int, title: str) -> Seconds:
    """Draw and decode images of labels (N,). Those of similar lengths share a batch, where lengths differ."""
    generator = decoder = 0.0
    order = order_of(drawer, labels, seeds)
    for part in slices(len(order), batch, title):
        rows = order[part]
        began = _now(labels.device)
        tokens = drawer.tokens(labels[rows], [seeds[row] for row in rows])
        drawn = _now(labels.device)
        drawer.tokenizer.decode(tokens).clamp_(-1, 1)
        generator, decoder = generator + drawn - began, decoder + _now(labels.device) - drawn
    return Seconds(generator, decoder)


def order_of(drawer: Drawer, labels: Tensor, seeds: list[int]) -> list[int]:
    """In which order images are drawn: the longest first, where lengths differ."""
    if not draws_lengths(drawer.generator):
        return list(range(len(labels)))
    return drawer.sampler.lengths(drawer.generator, labels, seeds=seeds).argsort(descending=True, stable=True).tolist()


def _fix_length(generator: Any) -> None:
    """Let all images have the mean number of codes: from now on it is the only length that is drawn."""
    counts = generator.length_counts
    lengths = torch.arange(counts.shape[1], device=counts.device)
    mean = round(((counts.sum(0) * lengths).sum() / counts.sum()).item())
    counts.zero_()
    counts[:, mean] = 1


def _both(loops: list[Seconds]) -> float:
    """Seconds of the median loop."""
    return statistics.median(loop.both for loop in loops)


def _now(device: torch.device) -> float:
    """Seconds, when all that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


@contextmanager
def _full_precision() -> Iterator[None]:
    """Products of float32 in float32, without TF32, as the paper's column says."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("throughput")
