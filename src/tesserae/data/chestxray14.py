"""ChestX-ray14 (NIH): chest X-rays of 30,805 patients with up to 14 findings each.

    images/00000001_000.png ...       all twelve archives images_001.tar.gz ... unpacked in one place,
                                      or images_001/images/*.png ... images_012/images/*.png
    Data_Entry_2017_v2020.csv         or the older Data_Entry_2017.csv
    train_val_list.txt, test_list.txt

CompTok decodes these images and looks whether a fixed model still finds the findings; see docs/data.md.
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from tesserae.data.base import Files, image_names, read_annotations, some
from tesserae.data.errors import DataError

FINDINGS = (
    *("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax"),
    *("Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia"),
)
NONE = "No Finding"
TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")


class Finding(NamedTuple):
    patient: int
    found: tuple[bool, ...]  # one for each of FINDINGS


@dataclass(frozen=True, kw_only=True)
class ChestXray14(Files):
    """The official lists: "train" is train_val_list.txt, which holds training and validation together."""

    root: Path | None
    name = "chestxray14"
    layout = "a folder with images/*.png, Data_Entry_2017_v2020.csv, train_val_list.txt and test_list.txt"
    splits = ("train", "test")
    checksums = {"train_val_list.txt": None, "test_list.txt": None, **dict.fromkeys(TABLES)}

    @property
    def table(self) -> Path:
        """The newer table of labels, if it is there."""
        return next((self.tree / name for name in TABLES if (self.tree / name).is_file()), self.tree / TABLES[0])

    @cached_property
    def places(self) -> dict[str, str]:
        """file name -> path below the root"""
        folders = [self.tree / "images", *sorted(self.tree.glob("images_*/images"))]
        return {
            name: f"{folder.relative_to(self.tree)}/{name}"
            for folder in folders
            if folder.is_dir()
            for name in image_names(folder)
        }

    @cached_property
    def lists(self) -> dict[str, list[str]]:
        """split -> file names in the list's order"""
        files = {"train": "train_val_list.txt", "test": "test_list.txt"}
        return {split: read_annotations(self.tree / file, str.split) for split, file in files.items()}

    @cached_property
    def entries(self) -> dict[str, Finding]:
        """file name -> its line of the table"""

        def parse(text: str) -> dict[str, Finding]:
            found = {}
            for line in csv.DictReader(io.StringIO(text)):
                names = line["Finding Labels"].split("|")
                if unknown := set(names) - {NONE, *FINDINGS}:
                    raise ValueError(f"{line['Image Index']}: no finding is called {some(sorted(unknown))}")
                found[line["Image Index"]] = Finding(int(line["Patient ID"]), tuple(name in names for name in FINDINGS))
            return found

        return read_annotations(self.table, parse)

    def problems(self) -> Iterator[DataError]:
        missing = list(self.need("train_val_list.txt", "test_list.txt", self.table.name))
        if not self.places:
            missing += self.need("images")
        yield from missing
        if missing:
            return
        listed = [name for split in self.splits for name in self.lists[split]]
        for place, present in ((self.tree / "images", self.places), (self.table, self.entries)):
            if absent := [name for name in listed if name not in present]:
                yield DataError(
                    place,
                    expected=f"each of the {len(listed)} names of the two lists",
                    found=f"{len(absent)} missing ({some(absent)})",
                    remedy="Unpack all twelve archives and take lists and table from the same place.",
                )
        if both := set(self.lists["train"]) & set(self.lists["test"]):
            yield DataError(
                self.tree / "test_list.txt",
                expected="no image of train_val_list.txt",
                found=f"{len(both)} ({some(sorted(both))})",
                remedy="Restore the official lists.",
            )

    def keys(self, split: str) -> list[str]:
        return [self.places.get(name, f"images/{name}") for name in self.lists[split]]

    def annotations(self, split: str) -> Iterator[Finding]:
        return (self.entries[name] for name in self.lists[split])
