"""Stage `drawing_sweep`: reconstructions at numbers of steps and at strengths of guidance (COMiT, Figs. 5a and 5b)."""

from typing import Any

import torch

from tesserae import sweeps
from tesserae.lineage.work import Work
from tesserae.stages.shared.numbers import write_numbers
from tesserae.stages.shared.recoding import Recoding

NAMES = ("rfid", "psnr")


@torch.inference_mode()
def run(work: Work) -> dict[str, float]:
    """Writes metrics.json: rFID and PSNR of the validation images, drawn from the codes that the recipe makes.

    `rfid` and `psnr` as the recipe draws; `best_steps` and `best_guidance`, those of the lowest rFID while the other is
    the recipe's, and that rFID, `rfid_best_steps` and `rfid_best_guidance`. Beside the values `curves`: {"steps":
    {"at": numbers of steps, "rfid": numbers, "psnr": numbers}, "guidance": the same}, and `own`, the recipe's (steps,
    guidance). For tokenizers with `decode_by`.
    """
    spec, recoding = work.spec, Recoding(work)
    codes, found = recoding.coded(recoding.model.encode), {}
    for steps, guidance in sweeps.points_of(spec):

        def drawn(part: slice, steps: int = steps, guidance: float = guidance) -> torch.Tensor:
            return recoding.model.decode_by(codes[part].long().to(recoding.device), steps, guidance)

        found[steps, guidance] = recoding.measured(drawn, f"{steps} steps, guidance {guidance:g}")
    own = next(iter(found))
    curves: dict[str, dict[str, Any]] = {}
    for place, name in enumerate(("steps", "guidance")):
        line = sorted(point for point in found if point[1 - place] == own[1 - place])
        curves[name] = {"at": [point[place] for point in line]}
        curves[name] |= {number: [found[point].values[number] for point in line] for number in NAMES}
    values = {name: found[own].values[name] for name in NAMES}
    for name, curve in curves.items():
        rfid, best = min(zip(curve["rfid"], curve["at"], strict=True))  # of two alike the fewer, or the weaker
        values |= {f"best_{name}": float(best), f"rfid_best_{name}": rfid}
    deviation = {"rfid": found[own].deviation["rfid"]}
    return write_numbers(work, values, recoding.measure(), deviation=deviation, curves=curves, own=list(own))


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("drawing_sweep")
