"""A new stage is its module, its entry in the table of stages, its word in a list of rules and its cost: nothing else.

Shown on a copy of the project whose other stages are toys, with a stage that looks at tokenizers and has settings in
the paper's file: it is planned, run, drawn in a table, traced and audited.
"""

import json
import shutil

import pytest

from tesserae.config.stages import STAGES
from tesserae.lineage import fingerprint
from tests.conftest import ROOT

MODULE = '''"""Stage `brightness`: a number of each tokenizer."""

import hashlib

from tesserae.lineage.measures.counted import Counted
from tesserae.lineage.work import Work
from tesserae.stages.shared.numbers import write_numbers

MEASURE = Counted(counted="what the tokenizer's weights add up to")


def run(work: Work) -> dict[str, float]:
    """Writes metrics.json."""
    weights = (work.inputs["tokenizer"] / "weights.safetensors").read_bytes()
    values = {"mean": work.spec["level"] * hashlib.sha256(weights).digest()[0] / 255}
    return write_numbers(work, values, MEASURE)


if __name__ == "__main__":
    from tesserae.workflow.runner import by_hand

    by_hand("brightness")
'''
ENTRY = """    "brightness": Stage(
        "how bright a tokenizer is",
        {"metrics": METRICS},
        {"dataset": ("index.json",), "tokenizer": WEIGHTS},
        numbers=METRICS,
        diagnostic=Diagnostic(("batch",), measures.Brightness),
    ),
"""
SETTINGS = """

class Brightness(Strict):
    level: Followed = Field(description="of what is bright")
"""
TABLE = """tables:
  bright:
    source: Toy
    own: true
    title: A new stage's numbers
    rows: {detok_sb_joint: Joint noise}
    columns:
      Brightness: {artifact: "brightness/{row}", value: mean, direction: none}
"""
TARGET = "results/smoke/table/detok_bright/table.csv"


@pytest.fixture
def extended(toys):
    """The toys with one stage more, whose numbers a table shows; tables are drawn by their real stage."""
    (toys.root / "workflow").unlink()
    shutil.copytree(ROOT / "workflow", toys.root / "workflow")
    (toys.root / "src/tesserae/stages/brightness.py").write_text(MODULE)
    shutil.copy(ROOT / "src/tesserae/stages/table.py", toys.root / "src/tesserae/stages/table.py")
    toys.edit("src/tesserae/config/stages.py", '    "concept_f1": Stage(', f'{ENTRY}    "concept_f1": Stage(')
    toys.edit("workflow/rules/tokenizers.smk", '    "denoising",\n', '    "denoising",\n    "brightness",\n')
    toys.edit("src/tesserae/costs/assumed.py", "LIGHT = {\n", 'LIGHT = {\n    "brightness": 30.0,\n')
    with open(toys.root / "src/tesserae/config/measures.py", "a") as types:
        types.write(SETTINGS)
    level = "measures:\n  brightness: {level: {key: gamma, otherwise: detok_bb_extended}}\n"
    toys.edit("config/papers/detok.yaml", "measures:\n", level)
    toys.edit("config/papers/detok.yaml", "tables:\n", TABLE)
    return toys


def test_a_new_stage_is_planned_run_traced_and_audited(extended):
    done = extended.python("-m", "snakemake", TARGET, "--config", "scale=smoke", TESSERAE_WARM="off")
    assert done.returncode == 0, done.stdout + done.stderr
    record = extended.manifest("brightness/detok_sb_joint")
    assert record["spec"] == {"batch": 20, "tokenizer": "tesserae.tokenizers.detok", "level": 3.0}
    assert record["origins"]["level"] == "config/papers/detok.yaml: tokenizers.detok_sb_joint.gamma"
    measured = record["metrics"]["mean"]
    table = json.loads((extended.root / TARGET).with_name("metrics.json").read_text())
    assert table == {"Joint noise": {"Brightness": measured}}
    traced = extended.tesserae("trace", "detok_bright[Joint noise, Brightness]", "--verify")
    assert traced.returncode == 0, traced.stdout + traced.stderr
    assert all(name in traced.stdout for name in ("brightness/detok_sb_joint", "tokenizer/detok_sb_joint", "dataset/"))
    audited = extended.tesserae("audit")
    assert audited.returncode == 0, audited.stdout + audited.stderr
    (extended.root / "results/smoke/brightness/detok_sb_joint/metrics.json").write_text("{}")
    audited = extended.tesserae("audit")
    assert audited.returncode == 1 and "brightness/detok_sb_joint" in audited.stdout


def test_a_new_stage_makes_nothing_stale_but_the_pages_that_speak_of_stages():
    readers = {
        stage for stage in STAGES if "tesserae.config.stages" in fingerprint.closure((f"tesserae.stages.{stage}",))
    }
    assert readers == {"forecast", "report"}
