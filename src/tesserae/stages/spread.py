"""Stage `spread`: where the scatter of a generator's numbers comes from. Made only where it is asked for.

Trainings of several seeds that are there are sampled anew with several seeds, at the guidance that each one's search
selected and at that of the first one; numbers are taken of all samples and of parts of them.
"""

import numpy as np
from torch import Tensor
from tqdm import tqdm

from tesserae.lineage.work import Work
from tesserae.metrics.features import default_layer, extract
from tesserae.metrics.fidelity import Statistics, fid, inception_score, precision_recall, statistics
from tesserae.metrics.spread import Components, components
from tesserae.stages.shared.common import pick_device
from tesserae.stages.shared.files import read_json, write_json
from tesserae.stages.shared.sampling import SPREAD, Drawer, labels_of, open_drawer, seeds_of

MEASURES = ("fid", "is", "precision", "recall")
NAMES = {"training": "training seed", "search": "guidance search", "sampling": "sampling seed", "samples": "samples"}


def run(work: Work) -> dict[str, float]:
    """Writes spread.json (all numbers, and the components of each measure) and spread.md, the table of these."""
    spec = work.spec
    trainings = spec["trainings"]
    points = [_selected(work, training) for training in trainings]
    shape = (len(MEASURES), len(trainings), spec["samplings"])
    parts, own, common = np.empty((*shape, spec["parts"])), np.empty(shape), np.empty(shape)
    measure = _Measuring(work)
    drawn = sum(1 + (point != points[0]) for point in points) * spec["samplings"] * spec["samples"]
    bar = tqdm(total=drawn, desc=work.title, unit="img", mininterval=1.0)  # one for all, so that it tells what is left
    for t, training in enumerate(trainings):
        drawer = open_drawer(work, spec["sampler"], f"seed{training}_")
        for s in range(spec["samplings"]):
            features, logits = measure.extracted(_drawn(work, drawer, points[0], s, bar))
            common[:, t, s] = measure.numbers(features, logits)
            size = len(features) // spec["parts"]
            for h in range(spec["parts"]):
                part = slice(h * size, (h + 1) * size)
                parts[:, t, s, h] = measure.numbers(features[part], logits[part])
            if points[t] == points[0]:
                own[:, t, s] = common[:, t, s]
            else:
                own[:, t, s] = measure.numbers(*measure.extracted(_drawn(work, drawer, points[t], s, bar)))
    bar.close()
    found = {name: components(parts[m], own[m], common[m]) for m, name in enumerate(MEASURES)}
    content = {
        "selected": dict(zip(map(str, trainings), points, strict=True)),
        "measures": {
            name: {
                "components": vars(found[name]),
                "shares": found[name].shares(),
                "mean": own[m].mean(),
                "own": own[m].tolist(),
                "common": common[m].tolist(),
                "parts": parts[m].tolist(),
            }
            for m, name in enumerate(MEASURES)
        },
    }
    write_json(work.out / "spread.json", content)
    means = {name: float(own[m].mean()) for m, name in enumerate(MEASURES)}
    (work.out / "spread.md").write_text(_table(work, means, found), encoding="utf-8", newline="\n")
    return {f"{name}_sd": found[name].total ** 0.5 for name in MEASURES}


def _selected(work: Work, training: int) -> dict[str, float | None]:
    return read_json(work.inputs[f"seed{training}_search"] / "search.json")["selected"][work.spec["selected"]]


def _drawn(work: Work, drawer: Drawer, point: dict[str, float | None], sampling: int, bar: tqdm) -> np.ndarray:
    """Images uint8 (N, S, S, 3) of a sampling: trainings get the same labels and seeds, other samplings others."""
    spec = work.spec
    seed = spec["seed"] + sampling
    labels = labels_of(spec["samples"], spec["classes"], spec["labels"], seed)
    seeds = seeds_of(seed, SPREAD, spec["samples"])
    found = []
    for start in range(0, len(labels), spec["batch"]):
        some = slice(start, start + spec["batch"])
        found.append(drawer.draw(labels[some], seeds[some], point["guidance"], point["temperature"], spec["rounding"]))
        bar.update(len(found[-1]))
    return np.concatenate(found)


class _Measuring:
    """Numbers of images, against the reference among a job's inputs."""

    def __init__(self, work: Work):
        self.spec, self.device = work.spec, pick_device(work.device)
        self.reference = Statistics.load(work.inputs["reference"] / "train.npz")
        self.real = np.load(work.inputs["reference"] / "val_features.npy")

    def extracted(self, images: np.ndarray) -> tuple[Tensor, Tensor]:
        """Features (N, D) and logits (N, C)."""
        spec = self.spec
        classes = default_layer(spec["extractor"], "isc")
        layers, side = [spec["layer"], classes], spec.get("measured_at")
        found = extract(images, spec["extractor"], layers, batch_size=spec["batch"], device=self.device, side=side)
        return found[spec["layer"]], found[classes]

    def numbers(self, features: Tensor, logits: Tensor) -> list[float]:
        """In the order of MEASURES."""
        precision, recall = precision_recall(features, self.real, neighbourhood=self.spec["neighbourhood"])
        score = inception_score(logits, splits=self.spec["splits"]).mean
        return [fid(statistics(features), self.reference), score, precision, recall]


def _table(work: Work, means: dict[str, float], found: dict[str, Components]) -> str:
    spec = work.spec
    lines = [
        f"**Where the numbers of {work.recipe} scatter from, scale {spec['scale']}**",
        "",
        f"| measure | mean | sd of one number | {' | '.join(NAMES.values())} | more of what |",
        "| :--- | ---: | ---: |" + " ---: |" * len(NAMES) + " :--- |",
    ]
    for name, each in found.items():
        shares = [
            "not known" if share is None else f"{(share * each.total) ** 0.5:.3g} ({share:.0%})"
            for share in each.shares().values()
        ]
        lines.append(f"| {name} | {means[name]:.4g} | {each.total**0.5:.3g} | {' | '.join(shares)} | {_advice(each)} |")
    trainings, samplings, parts = len(spec["trainings"]), spec["samplings"], spec["parts"]
    lines += [
        "",
        f"sd (part of the variance), of numbers of {spec['samples']} samples. {trainings} training seeds, each with "
        f"{samplings} sampling seeds, each in {parts} parts: {trainings - 1}, {trainings * (samplings - 1)} and "
        f"{trainings * samplings * (parts - 1)} degrees of freedom. samples: what more of them would lessen; sampling "
        "seed: what it adds to that. guidance search: what the search of each training moves, beside the guidance of "
        "the first one. A part that is smaller than what chance hides is 0.",
        "",
    ]
    return "\n".join(lines)


def _advice(found: Components) -> str:
    if found.training is None:
        return "one training seed: not known"
    of_samples, of_seeds = found.sampling + found.samples, found.training + found.search
    return "samples" if of_samples > of_seeds else "training seeds"


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("spread")
