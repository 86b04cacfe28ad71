"""ChestX-Det: 3,578 X-rays of ChestX-ray14 with outlines of 13 kinds of findings by three radiologists.

    ChestX_Det_train.json, ChestX_Det_test.json      of github.com/Deepwise-AILab/ChestX-Det-Dataset
    train_data/*.png, test_data/*.png                as the two archives unpack, or in a folder more

ChestX-ray14 itself, which CompTok names, has labels and a few boxes, and no masks: DECISION (D3).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from tesserae.data.base import damage, open_image, ordered_map, read_annotations, read_image, some
from tesserae.data.domains import Answer, DomainSet, chosen
from tesserae.data.errors import DataError
from tesserae.data.transforms import center_crop

FILES = {"train": "ChestX_Det_train.json", "val": "ChestX_Det_test.json"}
FOLDERS = {"train": "train_data", "val": "test_data"}


class Findings(NamedTuple):
    """Of one image; both of one length."""

    kinds: tuple[str, ...]
    outlines: tuple[tuple[tuple[float, float], ...], ...]  # (x, y) in the file's pixels


@dataclass(frozen=True, kw_only=True)
class ChestXDet(DomainSet):
    """DECISION (D3): the region of any finding; images without one are learned from, and have no Dice.

    `train_images`, `val_images`: how many are drawn by the seed.
    """

    root: Path | None
    train_images: int
    val_images: int
    seed: int
    name = "chestx_det"
    layout = f"a folder with {FILES['train']}, {FILES['val']}, train_data/*.png and test_data/*.png"
    checksums = dict.fromkeys(FILES.values())
    task = "region"
    classes = ("background", "finding")

    @property
    def tree(self) -> Path:
        return self.need_root(self.layout)

    @cached_property
    def findings(self) -> dict[str, dict[str, Findings]]:
        """split -> file name -> what was found; in the order of the file."""

        def parse(text: str) -> dict[str, Findings]:
            found = {}
            for entry in json.loads(text):
                outlines = tuple(tuple((float(x), float(y)) for x, y in outline) for outline in entry["polygons"])
                if len(outlines) != len(entry["syms"]) or any(len(outline) < 3 for outline in outlines):
                    raise ValueError(f"{entry['file_name']}: {len(entry['syms'])} findings, {len(outlines)} outlines")
                found[entry["file_name"]] = Findings(tuple(entry["syms"]), outlines)
            return found

        return {split: read_annotations(self.tree / file, parse) for split, file in FILES.items()}

    @cached_property
    def places(self) -> dict[str, dict[str, str]]:
        """split -> file name -> path below the root"""
        return {
            split: {
                path.name: path.relative_to(self.tree).as_posix()
                for pattern in ("*.png", "*/*.png")
                for path in sorted((self.tree / folder).glob(pattern))
                if not path.name.startswith(".")
            }
            for split, folder in FOLDERS.items()
        }

    def problems(self) -> Iterator[DataError]:
        missing = [name for name in (*FILES.values(), *FOLDERS.values()) if not (self.tree / name).exists()]
        for name in missing:
            yield DataError(
                self.tree / name,
                expected=f"part of '{self.name}', {self.layout}",
                found="nothing",
                remedy=f"Unpack the archive there, or correct data.root (now {self.root}).",
            )
        if missing:
            return
        for split, findings in self.findings.items():
            if absent := sorted(findings.keys() - self.places[split].keys()):
                yield DataError(
                    self.tree / FOLDERS[split],
                    expected=f"the {len(findings)} images listed in {FILES[split]}",
                    found=f"{len(absent)} missing ({some(absent)})",
                    remedy="Unpack the archive of images again.",
                )
        if both := self.findings["train"].keys() & self.findings["val"].keys():
            yield DataError(
                self.tree / FILES["val"],
                expected=f"no image of {FILES['train']}",
                found=f"{len(both)} ({some(sorted(both))})",
                remedy="Restore both files from the repository.",
            )

    @cached_property
    def names(self) -> dict[str, list[str]]:
        """split -> names of the drawn files"""
        wanted = {"train": self.train_images, "val": self.val_images}
        every = {split: list(found) for split, found in self.findings.items()}
        return {
            split: [names[i] for i in chosen(len(names), wanted[split], self.seed, self, split)]
            for split, names in every.items()
        }

    def counts(self) -> dict[str, int]:
        """Of the whole set."""
        return {split: len(found) for split, found in self.findings.items()}

    def decodable(self) -> list[str]:
        return [self.places[split][name] for split, found in self.findings.items() for name in found]

    def damaged(self, workers: int = 1) -> Iterator[DataError | None]:
        tree = self.tree
        return ordered_map(lambda key: damage(tree / key), self.decodable(), workers)

    def keys(self, split: str) -> list[str]:
        return [self.places[split].get(name, f"{FOLDERS[split]}/{name}") for name in self.names[split]]

    def pictures(self, split: str, *, size: int, workers: int = 1, start: int = 0) -> Iterator[np.ndarray]:
        tree = self.tree
        return ordered_map(lambda key: read_image(tree / key, size), self.keys(split)[start:], workers)

    def answers(self, split: str, *, size: int, workers: int = 1) -> Iterator[Answer]:
        tree, findings = self.tree, self.findings[split]

        def answer(entry: tuple[str, str]) -> Answer:
            key, name = entry
            side = open_image(tree / key, "L").size
            return Answer(region(findings[name], side, size))

        entries = list(zip(self.keys(split), self.names[split], strict=True))
        return ordered_map(answer, entries, workers)


def region(findings: Findings, side: tuple[int, int], size: int) -> np.ndarray:
    """Pixels of any finding, uint8 (S, S), S = `size`: more than half covered by outlines on an image of `side`."""
    covered = Image.new("L", side)
    pen = ImageDraw.Draw(covered)
    for outline in findings.outlines:
        pen.polygon(outline, fill=255, outline=255)
    return (np.asarray(center_crop(covered, size)) > 127).astype(np.uint8)
