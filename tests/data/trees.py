"""Miniatures of real data sets in their exact layouts. Image k of a set is grey with the value 20 + k, nearly."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from tesserae.data.chestxray14 import FINDINGS
from tesserae.data.deepglobe import COLOURS
from tesserae.data.imagenet100 import SYNSETS


def picture(path: Path, number: int, size: tuple[int, int] = (24, 18), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    value = 20 + number
    Image.new(mode, size, (value,) * 3 if mode == "RGB" else value).save(path)


def write(path: Path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def imagenet(root: Path, synsets: tuple[str, ...] = ("n01440764", "n02102040")) -> None:
    for split in ("train", "val"):
        for number, synset in enumerate(synsets):
            picture(root / split / synset / f"{synset}_1.JPEG", number)


def own(root: Path) -> None:
    """Three training images and two for validation, and what a Mac leaves beside them."""
    for split, images in (("train", 2), ("val", 1)):
        for number in range(images):
            picture(root / split / "a cat" / f"{number}.png", number)
        picture(root / split / "dog" / "x.JPEG", 5)
        write(root / split / "dog" / "._x.JPEG", "of a Mac")
        write(root / split / "__MACOSX" / "x.png", "of a Mac")


def imagenet100(root: Path) -> None:
    imagenet(root, SYNSETS)


def imagenette(root: Path) -> None:
    imagenet(root / "imagenette2", tuple(f"n{number:08d}" for number in range(10)))


def coco(root: Path) -> None:
    """Three training images, ids 30, 9 and 25 in this order (25 has no objects), and one for validation."""
    for split, ids in (("train", (30, 9, 25)), ("val", (139,))):
        images = [{"id": i, "file_name": f"{i:012d}.jpg", "width": 24, "height": 18} for i in ids]
        things = [
            {"id": 10 * i + k, "image_id": i, "category_id": 18 + k, "bbox": [k, 2.5, 10, 8], "iscrowd": k, "area": 80}
            | {"segmentation": [[0, 0, 1, 1, 1, 0]]}
            for i in ids
            if i != 25
            for k in (0, 1)
        ]
        captions = [{"id": 5 * i + k, "image_id": i, "caption": f"caption {k} of {i}"} for i in ids for k in range(5)]
        write(root / f"annotations/instances_{split}2017.json", {"images": images, "annotations": things})
        write(root / f"annotations/captions_{split}2017.json", {"images": images, "annotations": captions})
        for number, i in enumerate(sorted(ids)):
            picture(root / f"{split}2017/{i:012d}.jpg", number)


def visual_genome(root: Path) -> None:
    address = "https://cs.stanford.edu/people/rak248/{}/{}.jpg"
    places = {2: "VG_100K", 1: "VG_100K_2", 107: "VG_100K"}
    images = [{"image_id": i, "url": address.format(p, i), "width": 24, "height": 18} for i, p in places.items()]
    box = {"x": 1, "y": 2, "w": 3, "h": 4, "object_id": 5, "synsets": []}
    relation = {"predicate": "ON", "subject": {"name": "man", **box}, "object": {"names": ["horse", "pony"], **box}}
    relations = [{"image_id": 1, "relationships": [relation]}, {"image_id": 2, "relationships": []}]
    write(root / "image_data.json", images)
    write(root / "relationships.json", relations)
    for number, i in enumerate(sorted(places)):
        picture(root / places[i] / f"{i}.jpg", number)


def ecssd(root: Path) -> None:
    for number in range(3):
        picture(root / f"images/{number + 1:04d}.jpg", number)
        mask = np.zeros((18, 24), np.uint8)
        mask[: number + 1] = 255
        (root / "ground_truth_mask").mkdir(exist_ok=True)
        Image.fromarray(mask).save(root / f"ground_truth_mask/{number + 1:04d}.png")


def deepglobe(root: Path) -> None:
    """Ten pairs; every mask has all seven colours in stripes of two rows, not quite pure."""
    for number, name in enumerate(("119", "266", "855", "1523", "2334", "3484", "6399", "10452", "28559", "998002")):
        picture(root / f"train/{name}_sat.jpg", number, (14, 14))
        stripes = np.repeat(np.array(list(COLOURS.values())), 2, axis=0)[:, None].repeat(14, axis=1)
        Image.fromarray(np.where(stripes > 0, 250, 6).astype(np.uint8)).save(root / f"train/{name}_mask.png")


def chestxray14(root: Path) -> None:
    labels = {"00000001_000.png": "Cardiomegaly|Emphysema", "00000001_001.png": "No Finding"}
    labels |= {"00000002_000.png": "Pleural_Thickening", "00000003_000.png": "|".join(FINDINGS)}
    table = io.StringIO()
    lines = csv.writer(table)
    lines.writerow(["Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age"])
    for number, (name, found) in enumerate(labels.items()):
        lines.writerow([name, found, 0, int(name[:8]), 58])
        picture(root / "images" / name, number, (20, 20), "L")
    write(root / "Data_Entry_2017_v2020.csv", table.getvalue())
    names = list(labels)
    write(root / "train_val_list.txt", "\n".join(names[:3]))
    write(root / "test_list.txt", "\n".join(names[3:]))


def textocr(root: Path) -> None:
    for split, ids in (("train", ("b1", "a2")), ("val", ("c3",))):
        word = {"bbox": [1.5, 2, 6, 4], "points": [1.5, 2, 7.5, 2, 7.5, 6, 1.5, 6], "area": 24}
        anns = {f"{i}_{k}": {"id": f"{i}_{k}", "image_id": i, "utf8_string": t, **word}
                for i in ids if i != "a2" for k, t in ((1, "Café"), (2, "."))}  # fmt: skip
        imgs = {i: {"id": i, "width": 24, "height": 18, "set": split, "file_name": f"train/{i}.jpg"} for i in ids}
        links = {i: [key for key in anns if anns[key]["image_id"] == i] for i in ids if i != "a2"}
        write(root / f"TextOCR_0.1_{split}.json", {"imgs": imgs, "anns": anns, "imgToAnns": links})
        for number, i in enumerate(sorted(ids)):
            picture(root / f"train_images/{i}.jpg", number)


def llava_next(root: Path, shards: int = 2, rows: int = 5) -> None:
    """Row 1 of every shard has no image."""
    (root / "data").mkdir(parents=True, exist_ok=True)
    number = 0
    for shard in range(shards):
        images, entries = [], []
        for row in range(rows):
            stream = io.BytesIO()
            Image.new("RGB", (24, 18), (20 + number,) * 3).save(stream, "png")
            images.append(None if row == 1 else {"bytes": stream.getvalue(), "path": None})
            number += row != 1
            turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": f"{shard}-{row}"}]
            entries.append({"id": f"{shard}-{row}", "conversations": turns, "data_source": "coco"})
        table = pa.Table.from_pylist(entries).append_column(
            "image", pa.array(images, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
        )
        pq.write_table(table, root / f"data/train-{shard:05d}-of-{shards:05d}.parquet", row_group_size=2)


def chestx_det(root: Path) -> None:
    """Four images to learn from and two to look at, of 40 x 40 pixels; the second of each shows nothing."""
    for split, folder, count in (("train", "train_data", 4), ("test", "test_data/test", 2)):
        entries = []
        for number in range(count):
            name = f"{split}{number}.png"
            outline = [[10, 20], [29, 20], [29, 29], [10, 29]]
            shown = number != 1
            entries.append(
                {"file_name": name, "syms": ["Nodule"] * shown, "boxes": [[10, 20, 29, 29]] * shown}
                | {"polygons": [outline] * shown}
            )
            picture(root / folder / name, number, (40, 40), "L")
        write(root / f"ChestX_Det_{split}.json", entries)
