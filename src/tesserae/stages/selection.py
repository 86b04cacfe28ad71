"""Stage `selection`: what reconstructions lose when a tokenizer keeps other patches than it learned to (TaTok, Fig. 5).

Of every image as many as before. Figure 5 itself has a tokenizer trained for each order; this is its cheap control.
"""

import torch

from tesserae.lineage.work import Work
from tesserae.stages.shared.numbers import write_numbers
from tesserae.stages.shared.recoding import Recoding
from tesserae.stages.shared.tokenizers import grid_of

ORDERS = ("random", "uniform", "first", "last", "score")


@torch.inference_mode()
def run(work: Work) -> dict[str, float]:
    """Writes metrics.json: rFID and PSNR of the validation images by each of ORDERS, `rfid_<order>`, `psnr_<order>`."""
    recoding = Recoding(work)
    grid_of(recoding.model)  # only where patches are filtered
    values, deviation = {}, {}
    for order in ORDERS:
        codes = recoding.coded(lambda images, by=order: recoding.model.encode_by(images, by), f"{order}, encoded")
        found = recoding.score(codes, f"{order}, decoded")
        values |= {f"{name}_{order}": found.values[name] for name in ("rfid", "psnr")}
        deviation[f"rfid_{order}"] = found.deviation["rfid"]
    return write_numbers(work, values, recoding.measure(), deviation=deviation)


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("selection")
