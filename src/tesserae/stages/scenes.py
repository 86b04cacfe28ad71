"""Stage `scenes`: images with the categories or relations in them, divided as a probe wants it, and how.

For the images of classes there is the stage `dataset`.
"""

import os
from typing import Any

from tesserae.data.cache import write_cache, write_json
from tesserae.data.scenes import ANNOTATIONS, DIVISION, SceneSet, open_scenes
from tesserae.lineage.work import Work


def run(work: Work) -> dict[str, int]:
    """Writes a cache of images as the stage `dataset` does, all labels -1; annotations.json and division.json.

    annotations.json: `task`, `names`, `predicates`, and by split what each image shows (data/scenes.py); division.json:
    the pairs or the images of each split. Raises DataError for a set that is not there or cannot be divided.
    """
    scenes = opened(work)
    scenes.check()
    size = work.spec["image_size"]
    division = scenes.division()  # before any image is read: a set that cannot be divided is refused
    for split in scenes.splits:
        write_cache(scenes, split, size=size, folder=work.out, workers=len(os.sched_getaffinity(0)))
    shown = {split: list(scenes.annotations(split)) for split in scenes.splits}
    said = {"task": scenes.task, "names": scenes.names, "predicates": scenes.predicates}
    write_json(work.out / ANNOTATIONS, said | shown)
    write_json(work.out / DIVISION, division)
    return {f"{split}_images": len(images) for split, images in shown.items()}


def opened(work: Work) -> SceneSet:
    """The set of a spec; ValueError where data.root is needed and not set."""
    settings: dict[str, Any] = dict(work.spec)
    name = settings.pop("provider")
    for key in ("image_size", "module", "expected_images"):
        settings.pop(key, None)
    root = work.sources.get("corpus", work.data_root)
    if root is None:
        raise ValueError(
            f"data.root is not set in config/config.yaml: {name} is not an embedded corpus. Set it to the folder that "
            "holds the folder named as `root` in config/probes.yaml, or choose a smaller scale"
        )
    return open_scenes(name, root=root, **settings)


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("scenes")
