"""docs/extending.md, followed to the letter: its code is added to a copy of the project, and what it says happens."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.conftest import ROOT

PAGE = ROOT / "docs/extending.md"
# A fenced block whose first line names a new file, or a file and the line before or after which the rest belongs.
BLOCK = re.compile(
    r"^```(?:python|yaml)\n# (?P<file>\S+?)(?:, (?P<where>before|after) `(?P<line>[^\n]+)`)?\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def follow(page: str, root: Path) -> set[str]:
    """Write the page's files and insert its lines; the names of the files that were touched."""
    touched = set()
    for block in BLOCK.finditer(page):
        file, text = root / block["file"], block["text"]
        touched.add(block["file"])
        if block["line"] is None:
            assert not file.exists(), block["file"]
            file.write_text(text)
            continue
        old, line = file.read_text(), f"\n{block['line']}\n"
        assert old.count(line) == 1, f"{block['file']} has {old.count(line)} lines {block['line']!r}"
        first, second = (text, line[1:]) if block["where"] == "before" else (line[1:], text)
        file.write_text(old.replace(line, f"\n{first}{second}"))
    return touched


@pytest.fixture
def followed(copy):
    shutil.copytree(ROOT / "workflow", copy.root / "workflow")
    shutil.copy(ROOT / "Snakefile", copy.root)
    touched = follow(PAGE.read_text(), copy.root)
    assert {"src/tesserae/stages/mirror.py", "config/papers/detok.yaml", "workflow/rules/tokenizers.smk"} <= touched
    return copy


def test_a_stage_a_column_and_a_figure_work_as_the_page_adds_them(followed):
    done = followed.python(
        *("-m", "snakemake", "--cores", "2", "detok_own_mirror", "detok_mirrored", "--config", "scale=smoke")
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = followed.root / "results/smoke"
    table = json.loads((results / "table/detok_own_mirror/metrics.json").read_text())
    for label, recipe in (("Baseline", "detok_sb_baseline"), ("Joint noise", "detok_sb_joint")):
        found = json.loads((results / f"mirror/{recipe}/metrics.json").read_text())
        assert table[label]["mirror PSNR"] == found["values"]["psnr"] > 0
        assert found["measure"]["kind"] == "pixels" and found["measure"]["samples"] == 200
    assert (results / "figure/detok_mirrored/figure.png").stat().st_size > 0
    audited = followed.python("-m", "tesserae.cli.main", "--scale", "smoke", "audit")
    assert audited.returncode == 0, audited.stdout + audited.stderr


def test_nothing_is_trained_sampled_or_measured_again_for_it(copy):
    before = copy.fingerprints()
    shutil.copytree(ROOT / "workflow", copy.root / "workflow")
    follow(PAGE.read_text(), copy.root)
    after = copy.fingerprints()
    changed = {name.split("/")[0] for name in before if before[name] != after[name]}
    # Its generator joins a study, whose table and page are made again.
    shown = {"correlations", "table", "figure", "claims", "notebook", "page", "forecast", "lineage", "report"}
    assert changed == shown
    assert {"mirror/detok_sb_joint", "mirror/detok_sb_baseline"} <= after.keys() - before.keys()
