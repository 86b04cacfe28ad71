"""Visual Genome: scenes with named objects in boxes and the relations between them.

    image_data.json         width, height and address of every image
    relationships.json      version 1.4 (relationships.json.zip)
    VG_100K/*.jpg           images.zip
    VG_100K_2/*.jpg         images2.zip

COMiT's probe of relations needs the triplets and the share of the image that their boxes cover; see docs/data.md.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from tesserae.data.base import Files, read_annotations
from tesserae.data.errors import DataError


class Thing(NamedTuple):
    name: str  # verbatim; the first, where there are several
    box: tuple[int, int, int, int]  # left, top, width, height


class Relation(NamedTuple):
    subject: Thing
    predicate: str  # verbatim: "ON" and "on" both occur
    object: Thing


class SceneGraph(NamedTuple):
    width: int
    height: int
    relations: tuple[Relation, ...]


@dataclass(frozen=True, kw_only=True)
class VisualGenome(Files):
    """All images by id."""

    # DECISION: one split, "all": Visual Genome has no official one. COMiT wants splits that share no image, after its
    # filters; who filters also divides.
    root: Path | None
    name = "visual_genome"
    layout = "a folder with image_data.json, relationships.json, VG_100K/ and VG_100K_2/"
    splits = ("all",)
    # SHA-256 as recorded in huggingface/datasets, datasets/visual_genome/dataset_infos.json.
    checksums = {
        "image_data.json.zip": "sha256:b87a94918cb2ff4d952cf1dfeca0b9cf6cd6fd204c2f8704645653be1163681a",
        "image_data.json": None,
        "relationships.json": None,
    }
    archives = {
        "images.zip": "sha256:51c682d2721f880150720bb416e0346a4c787e4c55d7f80dfd1bd3f73ba81646",
        "images2.zip": "sha256:99da1a0ddf87011319ff3b05cf9176ffee2731cc3c52951162d9ef0d68e3cfb5",
    }

    @cached_property
    def sizes(self) -> dict[int, tuple[str, int, int]]:
        """image id -> (path, width, height), by id. The address ends with the folder that the archives unpack."""

        def parse(text: str) -> dict[int, tuple[str, int, int]]:
            entries = sorted(json.loads(text), key=lambda entry: entry["image_id"])
            return {
                entry["image_id"]: ("/".join(entry["url"].split("/")[-2:]), entry["width"], entry["height"])
                for entry in entries
            }

        return read_annotations(self.tree / "image_data.json", parse)

    @cached_property
    def relations(self) -> dict[int, tuple[Relation, ...]]:
        """image id -> its relations. Needs some gigabytes while it reads."""

        def parse(text: str) -> dict[int, tuple[Relation, ...]]:
            return {
                entry["image_id"]: tuple(
                    Relation(thing(one["subject"]), one["predicate"], thing(one["object"]))
                    for one in entry["relationships"]
                )
                for entry in json.loads(text)
            }

        return read_annotations(self.tree / "relationships.json", parse)

    def problems(self) -> Iterator[DataError]:
        missing = list(self.need("image_data.json", "relationships.json", "VG_100K", "VG_100K_2"))
        yield from missing
        if missing:
            return
        yield from self.need_files(self.keys("all"), "image_data.json")
        unknown = self.relations.keys() - self.sizes.keys()
        if unknown:
            yield DataError(
                self.tree / "relationships.json",
                expected="relations of images of image_data.json",
                found=f"{len(unknown)} other images",
                remedy="Take both files from the same version (1.4).",
            )

    def keys(self, split: str) -> list[str]:
        return [path for path, _, _ in self.sizes.values()]

    def annotations(self, split: str) -> Iterator[SceneGraph]:
        for image, (_, width, height) in self.sizes.items():
            yield SceneGraph(width, height, self.relations.get(image, ()))


def thing(entry: dict) -> Thing:
    """An object of a relation; it has a `name`, or several `names` where objects were merged."""
    name = entry["name"] if "name" in entry else entry["names"][0]
    return Thing(name, (entry["x"], entry["y"], entry["w"], entry["h"]))
