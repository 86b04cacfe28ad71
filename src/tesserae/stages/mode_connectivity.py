"""Stage `mode_connectivity`: MC of a tokenizer, how real images stay between tokens of two (CompTok, Sec. 3.2.1)."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tesserae.data.cache import Images, open_cache
from tesserae.encoders.pooled import pooled_features
from tesserae.lineage.measures.paths import Paths
from tesserae.lineage.work import Work
from tesserae.metrics.mode_connectivity import (
    Judge,
    Pairs,
    connectivities,
    connectivity,
    distance_to_real,
    path_losses,
)
from tesserae.stages.shared.judging import critic_of, open_pairs
from tesserae.stages.shared.moving import Moving, bar, kept, parts, resuming
from tesserae.stages.shared.numbers import write_numbers

# What follows the names of numbers: who judges.
CRITIC, OTHER, FEATURES = "", "_other", "_features"
NAMES = ("mc", "end", "worst")
WITHIN = ("mc_same", "mc_cross")  # of pairs whose images have classes


def run(work: Work) -> dict[str, float]:
    """Writes metrics.json and paths.npz.

    metrics.json: `mc`, the mean over pairs of the loss at the better end over that at the worst point, 0 to 1;
    `mc_same` and `mc_cross`, of pairs within a class and across two; `end` and `worst`, the means of both losses. All
    of them also by another critic, `mc_other`, and by 1 - the cosine to the nearest real image's features,
    `mc_features`. `without`: names of numbers that there are not, with the reason.

    paths.npz: `first`, `second` int64 (P,), `same_class` bool (P,) where there are classes; `losses`, `losses_other`,
    `losses_features` float32 (P, U) at the points of each pair's path.

    Every pair has its own noise, the same at all points. What an interrupted job has walked is kept. ValueError for
    pairs of another set of images.
    """
    spec, moving = work.spec, Moving(work)
    data = open_cache(work.inputs["dataset"], "val")
    pairs, features = open_pairs(work, len(data.images))
    judges = judges_of(work, moving, data, features)
    losses: dict[str, list[Tensor]] = {name: [] for name in judges}
    with resuming(work), bar(work.title, len(pairs.first) * spec["points"], "img") as moved:
        for first, some in parts(np.arange(len(pairs.first)), spec["batch"]):
            made = kept(work, str(first), walk(moving, data, pairs, some, judges, spec, moved))
            for name, found in losses.items():
                found.append(torch.from_numpy(made[f"losses{name}"]))
    whole = {name: torch.cat(found) for name, found in losses.items()}
    values: dict[str, float] = {}
    without: dict[str, str] = {}
    deviation: dict[str, float] = {}
    for name, found in whole.items():
        try:
            values |= numbers(found, pairs, name)
        except FloatingPointError as error:
            without |= dict.fromkeys(names_of(pairs, name), f"not finite: {error}")
            continue
        if len(found) > 1:
            deviation[f"mc{name}"] = float(connectivities(found).std() / len(found) ** 0.5)
    measure = Paths(
        reference=f"{work.inputs['dataset'].name} val",
        samples=len(pairs.first),
        weights="averaged",
        **{key: spec[key] for key in ("critic", "other_critic", "encoder", "points", "drawing_steps", "real_images")},
    )
    arrays = {f"losses{name}": found.float().numpy() for name, found in whole.items()}
    known = {"first": pairs.first, "second": pairs.second}
    known |= {} if pairs.same_class is None else {"same_class": pairs.same_class}
    np.savez_compressed(work.out / "paths.npz", **known, **arrays)
    return write_numbers(work, values, measure, deviation=deviation, without=without)


def judges_of(work: Work, moving: Moving, data: Images, features: np.ndarray) -> dict[str, Judge]:
    """Who judges, by what follows the names of the numbers."""
    spec = work.spec
    found = {name: critic_of(work, moving, data, role) for name, role in spec["roles"].items()}
    known = torch.from_numpy(np.array(features)).to(moving.device)
    found[FEATURES] = lambda images: distance_to_real(pooled_features(spec["encoder"], images), known)
    return found


def walk(
    moving: Moving,
    data: Images,
    pairs: Pairs,
    some: np.ndarray,
    judges: dict[str, Judge],
    spec: dict[str, Any],
    moved: Callable[[int], object],
) -> Callable[[], dict[str, np.ndarray]]:
    """The paths of some pairs, by their numbers (B,): {"losses": (B, U), ...} of all judges when it is called."""

    def walked() -> dict[str, np.ndarray]:
        seen: dict[str, list[Tensor]] = {name: [] for name in judges}

        def judge(images: Tensor) -> Tensor:
            for name, one in judges.items():
                seen[name].append(one(images).double().cpu())
            moved(len(images))
            return seen[CRITIC][-1]

        first, second = (moving.vectors(data, rows[some]) for rows in (pairs.first, pairs.second))
        path_losses(moving.images_of(some.tolist()), judge, first, second, spec["points"])
        return {f"losses{name}": torch.stack(found, dim=1).numpy() for name, found in seen.items()}

    return walked


def names_of(pairs: Pairs, judge: str) -> list[str]:
    """Names of the numbers of one judge."""
    return [f"{name}{judge}" for name in (*NAMES, *(WITHIN if pairs.same_class is not None else ()))]


def numbers(losses: Tensor, pairs: Pairs, judge: str) -> dict[str, float]:
    """By one judge's losses (P, U); FloatingPointError for one that is not finite."""
    found = connectivity(losses, pairs)
    values = [found.mc, losses[:, [0, -1]].amin(dim=1).mean().item(), losses.amax(dim=1).mean().item()]
    if pairs.same_class is not None:
        values += [found.same_class, found.cross_class]
    return dict(zip(names_of(pairs, judge), values, strict=True))


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("mode_connectivity")
