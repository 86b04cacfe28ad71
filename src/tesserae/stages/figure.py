"""Stage `figure`: one figure of a paper, from arrays and numbers that other stages left."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tesserae.lineage.work import Work
from tesserae.reporting import concepts, denoising, figures, published, seeds, sweeps


def run(work: Work) -> None:
    """Writes figure.png, figure.svg and figure.pdf; where nothing of it is run at this scale, they say why."""
    if not work.inputs:
        figures.blank(work.out / "figure", list(dict.fromkeys(cell["reason"] for cell in work.spec["missing"])))
        return
    DRAWN[work.spec["draw"]](work, work.out / "figure")


def _read(work: Work, group: str, role: str, row: str, file: str) -> list[Any]:
    """What a row's artifact holds, once for each seed; nothing if it is not run at this scale."""
    told = work.spec["inputs"][group][role].format(row=row)
    paths = [folder / file for folder in seeds.folders(work.inputs, told, work.spec["seeds"])]
    return [json.loads(path.read_text()) if path.suffix == ".json" else np.load(path) for path in paths]


def _searches(work: Work) -> dict[str, Any]:
    """What figures of searches share."""
    rows, groups = dict(work.spec["rows"]), list(work.spec["inputs"])
    found = {(row, group): _read(work, group, "search", row, "search.json") for row in rows for group in groups}
    reasons = list(dict.fromkeys(cell["reason"] for cell in work.spec["missing"]))
    return {"rows": rows, "generators": groups, "searches": found, "scale": work.spec["scale"], "reasons": reasons}


def _guidance_curves(work: Work, stem: Path) -> None:
    spec, shared = work.spec, _searches(work)
    if not spec["published"]:
        sweeps.guidance_curves(stem, **shared, plotted=spec["source"] is not None)
        return
    printed = published.load(work.sources["published"])
    metrics = {
        place: _read(work, place[1], "metrics", place[0], "metrics.json")
        for place in shared["searches"]
        if "metrics" in spec["inputs"][place[1]]
    }
    sweeps.guidance_curves(
        stem,
        **shared,
        measured={place: seeds.over_seeds(found) if found else None for place, found in metrics.items()} or None,
        published={
            (row, group): published.lookup(printed, spec["published"], shared["rows"][row], f"{group} w/ CFG FID")
            for row, group in shared["searches"]
        },
        published_from=spec["published"],
    )


def _sweep(work: Work, stem: Path) -> None:
    sweeps.sweep(stem, **_searches(work), x=work.spec["x"], series=work.spec["series"])


def _denoising(work: Work, stem: Path, damage: denoising.Damage = denoising.NOISE) -> None:
    found = {label: _read(work, "tokenizers", "images", row, "denoising.npz") for row, label in work.spec["rows"]}
    denoising.denoising(stem, tokenizers=found, scale=work.spec["scale"], damage=damage)


def _unmasking(work: Work, stem: Path) -> None:
    _denoising(work, stem, denoising.MASK)


def _sheet(work: Work, group: str, role: str, file: str) -> tuple[dict[str, Any], list[str]]:
    """Images of the first seed by label, and the labels of what was not run."""
    read = {label: _read(work, group, role, row, file) for row, label in work.spec["rows"]}
    return {label: found[0] for label, found in read.items() if found}, [label for label in read if not read[label]]


def _qualitative(work: Work, stem: Path) -> None:
    found, missing = _sheet(work, "tokenizers", "images", "images.npz")
    figures.qualitative(
        stem,
        originals=next(iter(found.values()))["originals"],
        reconstructions={label: arrays["reconstructions"] for label, arrays in found.items()},
        scale=work.spec["scale"],
        missing=missing,
    )


def _samples(work: Work, stem: Path) -> None:
    found, missing = _sheet(work, "generators", "samples", "preview.npy")
    figures.samples_sheet(stem, samples=found, scale=work.spec["scale"], missing=missing)


def _concepts(work: Work, role: str, file: str) -> dict[str, Any]:
    """What figures of concepts share: arrays and numbers by label."""
    read = {label: _read(work, "tokenizers", role, row, file) for row, label in work.spec["rows"]}
    found = {label: _read(work, "tokenizers", role, row, "metrics.json") for row, label in work.spec["rows"]}
    numbers = {label: seeds.over_seeds(metrics) if metrics else None for label, metrics in found.items()}
    return {"tokenizers": read, "numbers": numbers, "scale": work.spec["scale"]}


def _concept_patches(work: Work, stem: Path) -> None:
    concepts.concepts(stem, **_concepts(work, "examples", "examples.npz"))


def _concept_images(work: Work, stem: Path) -> None:
    shared = _concepts(work, "examples", "examples.npz")
    concepts.concept_images(stem, tokenizers=shared["tokenizers"], scale=shared["scale"])


def _clusters(work: Work, stem: Path) -> None:
    concepts.clusters(stem, **_concepts(work, "clusters", "clusters.npz"))


DRAWN = {
    "guidance_curves": _guidance_curves,
    "sweep": _sweep,
    "denoising": _denoising,
    "unmasking": _unmasking,
    "qualitative": _qualitative,
    "samples_sheet": _samples,
    "concepts": _concept_patches,
    "concept_images": _concept_images,
    "clusters": _clusters,
}


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("figure")
