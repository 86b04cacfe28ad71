"""Stage `probe`: what a small Transformer reads from the frozen tokens of a tokenizer (COMiT, App. B.2)."""

import json

import numpy as np

from tesserae.lineage.work import Work
from tesserae.stages.shared.files import read_json
from tesserae.stages.shared.numbers import write_numbers
from tesserae.stages.shared.probing import MODULE, measure_of, probed, stored
from tesserae.training import weights


def run(work: Work) -> dict[str, float]:
    """Writes weights.safetensors of the best epoch, curves.jsonl, hits.npy and metrics.json.

    metrics.json, in percent of validation images: `accuracy` of the best epoch, chosen on these images as in the paper;
    `held_out`, where the epoch was chosen on one half and counted on the other; `shuffled`, with tokens of another
    image; `chance`. hits.npy: bool (V,), which images the best epoch answers rightly.
    """
    folder = work.inputs["probe_tokens"]
    found = probed(work, {split: stored(folder, split) for split in ("train", "val")})
    weights.save(work.out / "weights.safetensors", found.fitted.weights, MODULE, found.model)
    accuracies = 100 * found.fitted.hits.mean(axis=1)
    lines = [
        json.dumps({"step": epoch, "loss": loss, "accuracy": float(accuracy)})
        for epoch, (loss, accuracy) in enumerate(zip(found.fitted.losses, accuracies, strict=True), 1)
    ]
    (work.out / "curves.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    np.save(work.out / "hits.npy", found.fitted.hits[found.fitted.best])
    about = read_json(folder / "index.json")
    return write_numbers(work, found.values, measure_of(work, about["latents"], about["prompt"]))


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("probe")
