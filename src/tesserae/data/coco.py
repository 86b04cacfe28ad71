"""MSCOCO 2017: natural scenes with five captions each and boxes of 80 kinds of objects.

    annotations/instances_{train,val}2017.json, captions_{train,val}2017.json
    train2017/000000000009.jpg ..., val2017/...

COMiT's probe of composition needs the categories in an image; see docs/data.md.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from tesserae.data.base import Files, read_annotations
from tesserae.data.errors import DataError


class Thing(NamedTuple):
    category: int  # COCO's id: 1 ... 90, of which 80 are used
    box: tuple[float, float, float, float]  # left, top, width, height
    crowd: bool  # a box around several that were not told apart


class Scene(NamedTuple):
    """One image. Some images have no objects."""

    captions: tuple[str, ...]
    things: tuple[Thing, ...]


@dataclass(frozen=True, kw_only=True)
class Coco(Files):
    """The official splits train2017 and val2017 (test2017 has no public annotations); keys sorted by image id."""

    root: Path | None
    name = "coco"
    layout = "a folder with annotations/, train2017/ and val2017/ as the official archives unpack"
    # MD5 of the official archives as e.g. PaddleDetection and LVIS' loaders verify them; of the JSON files nobody
    # published any.
    checksums = {
        "annotations_trainval2017.zip": "md5:f4bbac642086de4f52a3fdda2de5fa2c",
        **{
            f"annotations/{kind}_{split}2017.json": None
            for kind in ("instances", "captions")
            for split in ("train", "val")
        },
    }
    archives = {
        "train2017.zip": "md5:cced6f7f71b7629ddf16f17bbcfab6b2",
        "val2017.zip": "md5:442b8da7639aecaf257c1dceb8ba8c80",
    }

    def read(self, kind: str, split: str) -> dict[str, dict[int, list]]:
        """An annotation file: file names and annotations by image id; not the outlines, which are big."""

        def parse(text: str) -> dict[str, dict[int, list]]:
            content = json.loads(text)
            found = defaultdict(list)
            for entry in content["annotations"]:
                found[entry["image_id"]].append(
                    entry["caption"]
                    if kind == "captions"
                    else Thing(entry["category_id"], tuple(entry["bbox"]), bool(entry["iscrowd"]))
                )
            return {"files": {image["id"]: image["file_name"] for image in content["images"]}, "found": found}

        return read_annotations(self.tree / f"annotations/{kind}_{split}2017.json", parse)

    @cached_property
    def instances(self) -> dict[str, dict]:
        return {split: self.read("instances", split) for split in self.splits}

    @cached_property
    def captions(self) -> dict[str, dict]:
        return {split: self.read("captions", split) for split in self.splits}

    def problems(self) -> Iterator[DataError]:
        missing = list(self.need("annotations", *(name for name in self.checksums if name.endswith(".json"))))
        missing += self.need(*(f"{split}2017" for split in self.splits))
        yield from missing
        if missing:
            return
        for split in self.splits:
            instances = f"annotations/instances_{split}2017.json"
            yield from self.need_files(self.keys(split), instances)
            if self.captions[split]["files"] != self.instances[split]["files"]:
                yield DataError(
                    self.tree / f"annotations/captions_{split}2017.json",
                    expected=f"captions of the images of {instances}",
                    found="another list of images",
                    remedy="Unpack annotations_trainval2017.zip again.",
                )

    def keys(self, split: str) -> list[str]:
        return [f"{split}2017/{name}" for _, name in sorted(self.instances[split]["files"].items())]

    def counts(self) -> dict[str, int]:
        found = super().counts()
        for kind, content in (("objects", self.instances), ("captions", self.captions)):
            found |= {f"{split} {kind}": sum(map(len, content[split]["found"].values())) for split in self.splits}
        return found

    def annotations(self, split: str) -> Iterator[Scene]:
        captions, things = self.captions[split]["found"], self.instances[split]["found"]
        for image in sorted(self.instances[split]["files"]):
            yield Scene(tuple(captions.get(image, ())), tuple(things.get(image, ())))
