"""What Snakemake's limit on starts per second costs a run of many short local jobs.

    python benchmarks/scheduling.py [--jobs 300]

Runs the same trivial jobs, of 4 input files each, twice on 2 cores: as Snakemake does by itself, and without the
limit, as this project's Snakefile runs them. After each choice of jobs the limit asks for another one a second later,
as long as any job waits; so each job that ends adds one more choice per second to those that come, and the CPU time
grows with the square of the number of jobs. Prints wall and CPU seconds of Snakemake's own process and their ratios.
"""

import argparse
import itertools
import subprocess
import sys
import tempfile
import time
from pathlib import Path

JOBS = """
rule all:
    input: expand("made/{{i}}", i=range({jobs}))
rule one:
    input: expand("given/{{{{i}}}}-{{k}}", k=range(4))
    output: "made/{{i}}"
    shell: "sleep 0.2; touch {{output}}"
onstart:
    if {unlimited}:
        workflow.scheduler.job_rate_limiter = None
"""
RUN = """
import resource, sys
from snakemake.cli import main
try:
    main(["--cores", "2", "--scheduler", "greedy", "--quiet", "all"])
except SystemExit as end:
    assert not end.code, end.code
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime)
"""


def measured(jobs: int, unlimited: bool) -> tuple[float, float]:
    """Wall seconds of a run, and CPU seconds of Snakemake's own process."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "Snakefile").write_text(JOBS.format(jobs=jobs, unlimited=unlimited), encoding="utf-8")
        (Path(folder) / "given").mkdir()
        for name in itertools.product(range(jobs), range(4)):
            (Path(folder) / "given" / "{}-{}".format(*name)).touch()
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", RUN], cwd=folder, check=True, capture_output=True, encoding="utf-8", errors="replace"
        )
        return time.perf_counter() - start, float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--jobs", type=int, default=300)
    jobs = parser.parse_args().jobs
    found = {}
    for name, unlimited in (("with the limit", False), ("without it", True)):
        wall, cpu = found[name] = measured(jobs, unlimited)
        print(f"{name:>15}: {wall:6.1f} s, of which Snakemake computes {cpu:6.1f} s")
    (wall, cpu), (faster, less) = found.values()
    print(f"{'ratio':>15}: {wall / faster:6.2f}    {cpu / less:32.2f}")


if __name__ == "__main__":
    main()
