"""Stage `targets`: what a probe is asked of each image of a data set, in one form (data/targets.py)."""

from tesserae.data import targets
from tesserae.data.cache import open_cache
from tesserae.data.scenes import ANNOTATIONS
from tesserae.lineage.work import Work
from tesserae.stages.shared.files import read_json


def run(work: Work) -> dict[str, int]:
    """Writes targets.npz and targets.json. ValueError for a data set that has no answers of the task."""
    found = made(work)
    targets.save(work.out, found)
    return {
        "train_images": found.train.images,
        "val_images": found.val.images,
        "names": len(found.names),
        "negatives": found.negatives,
    }


def made(work: Work) -> targets.Targets:
    task = work.spec["task"]
    if task == "classes":
        train, val = (open_cache(work.inputs["dataset"], split) for split in ("train", "val"))
        return targets.of_classes(train.labels, val.labels, train.class_names)
    said = read_json(work.inputs["scenes"] / ANNOTATIONS)
    if said["task"] != task:
        raise ValueError(
            f"{work.inputs['scenes']} shows {said['task']}, and the probe asks for {task}: name another set"
        )
    if task == "pairs":
        return targets.of_pairs(said["train"], said["val"], said["names"])
    settings = {key: work.spec[key] for key in ("negatives", "hard", "seed")}
    return targets.of_relations(said["train"], said["val"], said["names"], said["predicates"], **settings)


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("targets")
