"""How long planning takes: a dry run of everything, and a run that has nothing to do.

    python benchmarks/planning.py [jobs ...]        default: 250 2000

Builds a project with as many recipes as that takes. The run with nothing to do needs artifacts, so the stages are the
toys of the tests there (files of a few bytes); it is measured up to 300 jobs. Seconds of one machine, one run: compare
them with each other and with a bare `snakemake --version`, which is shown first.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PER_ROW = 20  # jobs of a tokenizer with two generators, as a row of Table 1
ALREADY = 250  # jobs of the scale smoke without them
MADE = 300

sys.path.insert(0, str(ROOT))


def project(folder: Path, jobs: int) -> None:
    """A copy of the project with toy stages and enough recipes for about `jobs` jobs."""
    from tests.workflow.conftest import toy

    from tesserae.config.stages import STAGES

    for name in ("src", "config", "notebooks", "data", "workflow"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(ROOT / "Snakefile", folder)
    (folder / "profiles").symlink_to("workflow/profiles")
    for stage in STAGES:
        (folder / f"src/tesserae/stages/{stage}.py").write_text(toy(stage), encoding="utf-8")
    rows = max(0, (jobs - ALREADY) // PER_ROW)
    file = folder / "config/papers/detok.yaml"
    text = file.read_text(encoding="utf-8")
    tokenizers = "".join(f"  row{k:03d}: {{base: detok_sb, gamma: {1 + k / 100}}}\n" for k in range(rows))
    generators = "".join(
        f"  {base}_b_row{k:03d}: {{base: {base}_b, tokenizer: row{k:03d}}}\n"
        for k in range(rows)
        for base in ("mar", "sit")
    )
    shown = "".join(f"row{k:03d}: row {k}, " for k in range(rows))  # what nothing shows is not planned
    text = text.replace("rows: {baseline: Baseline, masking", f"rows: {{{shown}baseline: Baseline, masking", 1)
    text = re.sub(r"(?m)^tokenizers:\n", f"tokenizers:\n{tokenizers}", text)
    file.write_text(re.sub(r"(?m)^generators:\n", f"generators:\n{generators}", text), encoding="utf-8")


def seconds(folder: Path, *command: str) -> tuple[float, str]:
    environment = {**os.environ, "PYTHONPATH": str(folder / "src"), "TESSERAE_WARM": "off", "MLFLOW_TRACKING_URI": ""}
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    taken = time.perf_counter() - started
    if done.returncode:
        sys.exit(done.stdout[-2000:] + done.stderr[-2000:])
    return taken, done.stdout + done.stderr


def main() -> None:
    print(f"snakemake --version: {seconds(ROOT, 'snakemake', '--version')[0]:.1f} s")
    for wanted in map(int, sys.argv[1:] or ("250", "2000")):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            project(folder, wanted)
            snakemake = ("snakemake", "--config", "scale=smoke")
            first, said = seconds(folder, *snakemake, "-n")
            jobs = int(re.findall(r"(?m)^total\s+(\d+)", said)[0])
            again, _ = seconds(folder, *snakemake, "-n")
            print(f"{jobs} jobs: dry run of everything {first:.1f} s, again (modules analysed) {again:.1f} s")
            if jobs > MADE:
                continue
            seconds(folder, *snakemake)
            nothing, said = seconds(folder, *snakemake)
            assert "Nothing to be done" in said, said
            stale, _ = seconds(folder, "tesserae.cli.main", "--scale", "smoke", "stale")
            seconds(folder, "tesserae.cli.main", "--scale", "smoke", "reproduce")
            reproduce, _ = seconds(folder, "tesserae.cli.main", "--scale", "smoke", "reproduce")
            print(
                f"  nothing to do: snakemake {nothing:.1f} s, tesserae stale {stale:.1f} s, reproduce {reproduce:.1f} s"
            )


if __name__ == "__main__":
    main()
