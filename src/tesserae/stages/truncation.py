"""Stage `truncation`: what reconstructions lose when patches are taken out of their codes (TaTok, Fig. 4)."""

from typing import Any

import torch
from torch import Tensor

from tesserae.lineage.work import Work
from tesserae.stages.shared.numbers import write_numbers
from tesserae.stages.shared.recoding import Recoding
from tesserae.stages.shared.tokenizers import grid_of, keep_only

WHERE = ("start", "end", "random")
NAMES = ("rfid", "psnr")


@torch.inference_mode()
def run(work: Work) -> dict[str, float]:
    """Writes metrics.json: rFID and PSNR of the validation images without patches at the start, at the end or anywhere.

    `rfid` of all patches, `rfid_<where>` without the spec's `part`, `rfid_<where>_one` of the last one alone, and
    `psnr` likewise. Beside the values `curves`: {"removed": numbers of patches of the paper's grid, "patches": as many
    of this one in proportion, "rfid": {where: numbers}, "psnr": {where: numbers}}.
    """
    spec, recoding = work.spec, Recoding(work)
    patches = grid_of(recoding.model) ** 2
    levels = removed(spec, patches)
    codes, found = recoding.coded(recoding.model.all_codes), {}
    for where, order in orders(len(codes), patches, spec["seed"]).items():
        for many in sorted({*levels.values()}):
            if many == 0 and found:  # nothing is missing, wherever
                found[where, many] = found[WHERE[0], many]
                continue
            rest = keep_only(recoding.model, codes, (order >= many).expand(len(codes), -1))
            found[where, many] = recoding.score(rest, f"without {many}, {where}")
    part, one = levels[spec["part"]], levels[spec["patches"] - 1]
    named = {"": (WHERE[0], 0), **{f"_{where}": (where, part) for where in WHERE}}
    named |= {f"_{where}_one": (where, one) for where in WHERE}
    values = {f"{name}{ending}": found[place].values[name] for name in NAMES for ending, place in named.items()}
    deviation = {f"rfid{ending}": found[place].deviation["rfid"] for ending, place in named.items()}
    curves: dict[str, Any] = {"removed": list(levels), "patches": list(levels.values())}
    for name in NAMES:
        curves[name] = {where: [found[where, many].values[name] for many in levels.values()] for where in WHERE}
    measure = recoding.measure(seed=spec["seed"])
    return write_numbers(work, values, measure, deviation=deviation, curves=curves)


def removed(spec: dict[str, Any], patches: int) -> dict[int, int]:
    """How many patches of the paper's grid are taken away, in order, and how many of this one's are in proportion.

    None, the spec's `part`, all but one; and of its `curve` so many, evenly spread, as the scale says (None: all).
    """
    curve, points = spec["curve"], spec["curve_points"]
    if points is not None and points < len(curve):
        curve = [curve[(2 * point + 1) * len(curve) // (2 * points)] for point in range(points)]
    last = spec["patches"] - 1
    return {many: round(many * (patches - 1) / last) for many in sorted({0, spec["part"], last, *curve})}


def orders(images: int, patches: int, seed: int) -> dict[str, Tensor]:
    """When each patch is taken away, by WHERE: int64 (1, P), or (M, P) where that differs between images.

    Image i draws from a generator of seed + i.
    """
    first = torch.arange(patches)[None]
    drawn = [torch.randperm(patches, generator=torch.Generator().manual_seed(seed + i)) for i in range(images)]
    return {"start": first, "end": first.flip(1), "random": torch.stack(drawn)}


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("truncation")
