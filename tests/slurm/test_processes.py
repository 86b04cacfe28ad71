"""A training in several processes: each is started exactly once and knows who it is; if one fails, all end."""

import json

import pytest
from snakemake_executor_plugin_slurm.submit_string import get_submit_command
from snakemake_executor_plugin_slurm.utils import set_gres_string

from tesserae.config.types import ByKind, Resources
from tesserae.config.types import Cluster as Names
from tesserae.workflow import scheduling
from tesserae.workflow.plan import open_plan
from tests.conftest import ROOT
from tests.slurm.cluster import Cluster
from tests.slurm.conftest import Site, fresh_toys, started
from tests.waiting import runs, until

DATASET, TOKENIZER = "dataset/emoji_few-32", "tokenizer/detok_sb_joint"

# A line for a toy: write down who this process is. The first one writes the artifact.
WHO = """import json
    names = "RANK LOCAL_RANK WORLD_SIZE LOCAL_WORLD_SIZE SLURMD_NODENAME SLURM_JOB_ID MKL_NUM_THREADS".split()
    with open(work.root / ".tesserae/who", "a") as who:
        who.write(json.dumps({name: os.environ.get(name) for name in names} | {"pid": os.getpid()}) + "\\n")
    if os.environ["RANK"] != "0":
        return {}"""
# The second process fails while the first waits for it.
DIES = """import time
    waiting = work.root / ".tesserae/waiting"
    if os.environ["RANK"] != "0":
        while not waiting.exists():
            time.sleep(0.1)
        raise RuntimeError("the second process has a bad day")
    waiting.write_text(str(os.getpid()))
    time.sleep(600)"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Cluster:
    with started(tmp_path_factory.mktemp("slurm") / "cluster", nodes=2, cpus=2) as found:
        yield found


@pytest.fixture
def project(tmp_path) -> Site:
    """A project of toys without a cluster."""
    return Site(fresh_toys(tmp_path), None)


def ask(site: Site, nodes: int, processes: int) -> None:
    site.resources("tokenizer", f"{{mem_mb: 500, runtime: 10, nodes: {nodes}, processes: {processes}}}")
    site.toys.edit("config/scales/smoke.yaml", "tokenizer_training:\n", "tokenizer_training:\n  microbatches: 4\n")
    site.made(DATASET)


def check(site: Site, nodes: int, processes: int) -> None:
    who = [json.loads(line) for line in (site.notes / "who").read_text().splitlines()]
    assert sorted(int(found["RANK"]) for found in who) == list(range(nodes * processes))
    assert len({found["pid"] for found in who}) == nodes * processes
    assert {(found["WORLD_SIZE"], found["LOCAL_WORLD_SIZE"]) for found in who} == {
        (str(nodes * processes), str(processes))
    }
    assert all(int(found["LOCAL_RANK"]) == int(found["RANK"]) % processes for found in who)
    assert {found["MKL_NUM_THREADS"] for found in who} == {"1"}
    assert len({(found["SLURMD_NODENAME"], int(found["RANK"]) // processes) for found in who}) == nodes
    assert len({found["SLURM_JOB_ID"] for found in who}) == 1
    assert site.toys.manifest(TOKENIZER)["hardware"]["processes"] == nodes * processes
    site.verify(TOKENIZER)


@pytest.mark.parametrize(("nodes", "processes"), [(2, 1), (2, 2)])
def test_sbatch_starts_each_process_once(site: Site, nodes, processes):
    ask(site, nodes, processes)
    site.toys.insert("tokenizer", WHO)
    with site.run(TOKENIZER) as run:
        run.complete()
    check(site, nodes, processes)


def test_torchrun_starts_each_process_once(project: Site):
    ask(project, 1, 2)
    project.toys.insert("tokenizer", WHO)
    project.made(TOKENIZER)
    check(project, 1, 2)


def test_a_process_that_fails_in_slurm_ends_the_others(site: Site):
    ask(site, 2, 1)
    site.toys.insert("tokenizer", DIES)
    with site.run(TOKENIZER, options=("--retries", "0")) as run:
        assert run.end() != 0
    fails(site, run.log)
    assert "the second process has a bad day" in run.log


def test_a_process_that_fails_elsewhere_ends_the_others(project: Site):
    ask(project, 1, 2)
    project.toys.insert("tokenizer", DIES)
    done = project.toys.make(TOKENIZER)
    assert done.returncode == 1
    fails(project, done.stdout + done.stderr)


def fails(site: Site, log: str) -> None:
    assert "Died: tokenizer/detok_sb_joint" in log
    first = int((site.notes / "waiting").read_text())
    until(lambda: not runs(first), lambda: "the first process goes on")
    site.nothing_landed(TOKENIZER)


# ---- what sbatch is told, without a cluster -----------------------------------------------------------------------


class Submitted:
    """As much of a job of Snakemake as the executor looks at."""

    def __init__(self, resources: dict, threads: int, attempt: int):
        values = {name: value(None, attempt) if callable(value) else value for name, value in resources.items()}
        self.resources, self.threads = Named(values), threads


class Named(dict):
    __getattr__ = dict.__getitem__


def options(resources: dict, threads: int = 1, attempt: int = 1) -> list[str]:
    """The words of the executor's sbatch command that a stage's resources lead to."""
    said = {
        "run_uuid": "run",
        "slurm_logfile": "log",
        "comment_str": "it",
        "account": "",
        "partition": "",
        "workdir": "",
    }
    job = Submitted(resources, threads, attempt)
    return (get_submit_command(job, said) + set_gres_string(job)).split()


SITE = Names(
    partition=ByKind(gpu="boost", cpu="serial"),
    account="tokens",
    qos=None,
    constraint=ByKind(gpu="a100"),
    sbatch=["--exclude=node07"],
    warn_minutes=10,
    backoff_minutes=1,
)


@pytest.mark.parametrize(
    ("asked", "expected", "absent"),
    [
        ({}, ["--ntasks=1", "--nodes=1", "--cpus-per-task=4"], ["--gres", "--gpus", "--signal"]),
        ({"gpus": 1}, ["--gpus=1", "--nodes=1", "--cpus-per-task=4"], ["--gres", "--ntasks"]),
        ({"gpus": 8}, ["--nodes=1", "--ntasks-per-node=8", "--gres=gpu:8", "--cpus-per-task=4"], ["--gpus"]),
        ({"gpus": 8, "nodes": 4}, ["--nodes=4", "--ntasks-per-node=8", "--gres=gpu:8"], ["--gpus"]),
        ({"gpus": 1, "nodes": 2}, ["--nodes=2", "--ntasks=2", "--gres=gpu:1"], ["--gpus", "--ntasks-per"]),
        ({"processes": 2}, ["--nodes=1", "--ntasks-per-node=2", "--cpus-per-task=4"], ["--gres", "--gpus"]),
        ({"nodes": 2}, ["--nodes=2", "--ntasks=2", "--cpus-per-task=4"], ["--ntasks-per", "--gres"]),
    ],
)
def test_sbatch_is_told_what_a_stage_asks_for(asked, expected, absent):
    resources = Resources(threads=4, mem_mb=1000, runtime=30, **asked)
    words = options(scheduling.resources(resources, "samples", SITE), 4)
    assert set(expected) < set(words), words
    assert not [word for word in words for name in absent if word.startswith(name)], words
    assert sum(word.startswith("--ntasks") for word in words) == (asked != {"gpus": 1}), words
    assert words[words.index("--mem") + 1] == "1000" and "--exclude=node07" in words
    assert ("a100" in words) == ("gpus" in asked)


def test_trainings_are_warned_and_others_get_more_time_with_each_try():
    asked = Resources(runtime=60)
    first, third = (options(scheduling.resources(asked, "samples", SITE), attempt=number) for number in (1, 3))
    assert first[first.index("-t") + 1] == "60" and third[third.index("-t") + 1] == "180"
    assert "--begin=now+120" in third and not [word for word in first if word.startswith("--begin")]
    training = options(scheduling.resources(asked, "generator", SITE), attempt=3)
    assert training[training.index("-t") + 1] == "60" and "--signal=USR1@600" in training


def test_the_papers_tokenizer_starts_a_process_on_each_gpu():
    plan = open_plan(ROOT, "paper")
    asked = plan.request("tokenizer")
    words = options(plan.resources("tokenizer"), plan.threads("tokenizer"))
    shape = {f"--nodes={asked.nodes}", f"--ntasks-per-node={asked.gpus}", f"--gres=gpu:{asked.gpus}"}
    assert {*shape, f"--cpus-per-task={asked.threads}"} < set(words), words
