"""Whether the tokenizers of a scale learned anything: rFID and PSNR against the same networks before training.

    python benchmarks/learning.py [--scale pocket]      after `make reproduce`

The untrained networks have the seeds, sizes and validation images of the trained ones.
"""

import argparse
import importlib
import json
from pathlib import Path

import numpy as np
import torch

from tesserae.data.cache import open_cache
from tesserae.data.floats import float_images
from tesserae.data.transforms import to_uint8
from tesserae.metrics.fidelity import Statistics, fid
from tesserae.metrics.reconstruction import psnr
from tesserae.stages.shared.scoring import score
from tesserae.workflow.plan import Plan, read_plan


@torch.inference_mode()
def untrained(plan: Plan, recipe: str) -> tuple[float, float]:
    """(rFID, PSNR in dB) of a tokenizer as it is initialised."""
    spec, measured = plan.jobs[f"tokenizer/{recipe}"].spec, plan.jobs[f"reconstruction/{recipe}"]
    folders = {role: plan.project.root / plan.folder(name) for role, name in measured.inputs.items()}
    images = open_cache(folders["dataset"], "val").images
    torch.manual_seed(spec["training"]["seed"])
    model = importlib.import_module(spec["module"]).build(spec["model"]).eval()
    ratios, rebuilt = [], np.empty_like(images)
    for start in range(0, len(images), 64):
        original = float_images(images[start : start + 64], torch.device("cpu"))
        decoded = model.decode(model.encode(original))
        ratios.append(psnr(original, decoded))
        rebuilt[start : start + 64] = to_uint8(decoded, mode=measured.spec["rounding"]).numpy()
    found = score(rebuilt, measured.spec, torch.device("cpu")).statistics
    return fid(found, Statistics.load(folders["reference"] / "val.npz")), torch.cat(ratios).mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", default="pocket")
    plan = read_plan(Path.cwd(), parser.parse_args().scale)
    torch.set_num_threads(1)
    print(f"{'tokenizer':20} {'rFID untrained':>15} {'trained':>8} {'PSNR untrained':>15} {'trained':>8}")
    for recipe in plan.project.tokenizers:
        before = untrained(plan, recipe)
        file = plan.project.root / plan.folder(f"reconstruction/{recipe}") / "metrics.json"
        after = json.loads(file.read_text())["values"]
        print(f"{recipe:20} {before[0]:15.1f} {after['rfid']:8.1f} {before[1]:15.2f} {after['psnr']:8.2f}")


if __name__ == "__main__":
    main()
