"""The workflow on a real SLURM: the stages are toys, all else is what a cluster runs."""

import pytest

from tests.slurm.cluster import Cluster, Unavailable, running
from tests.workflow.conftest import Toys, copy, toys  # noqa: F401 (fixtures)

PROFILE = ("--profile", "workflow/profiles/slurm", "--slurm-init-seconds-before-status-checks", "2")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Cluster:
    try:
        with running(tmp_path_factory.mktemp("slurm") / "cluster") as started:
            yield started
    except Unavailable as error:
        pytest.skip(str(error))


def submit(toys: Toys, cluster: Cluster, *arguments: str):  # noqa: F811
    return toys.snakemake(*PROFILE, *arguments, SLURM_CONF=cluster.environment["SLURM_CONF"])


def test_jobs_through_sbatch_make_what_a_laptop_makes(toys, cluster):  # noqa: F811
    done = submit(toys, cluster)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    made = toys.made()
    jobs = {
        toys.manifest(f"tokenizer/{name}")["hardware"]["scheduler_job"]
        for name in ("detok_sb_joint", "detok_sb_latent")
    }
    assert len(jobs) == 2 and None not in jobs
    assert (toys.root / "results/smoke/tokenizer/detok_sb_joint/stage.log").read_text().startswith("tokenizer/")
    assert "Nothing to be done" in submit(toys, cluster).stderr + toys.snakemake().stderr
    toys.version("dataset", 2)
    assert toys.snakemake().returncode == 0 and toys.made() != made
