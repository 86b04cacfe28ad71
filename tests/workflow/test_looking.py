"""Looking writes nothing, and what `reproduce` says at its end is what it checked."""

import inspect
import re

import pytest

from tesserae.cli.reproduce import LOOKED_AT, MAKES_NOTHING, _parsed
from tesserae.workflow.room import _given
from tests.waiting import until

DATASET, REFERENCE = "results/smoke/dataset/emoji_few-32/index.json", "results/smoke/reference/emoji_few-32/val.npz"


def times(root) -> dict:
    """Times of all that was made, and of Snakemake's records of it."""
    files = [*(root / "results").rglob("*"), *(root / ".snakemake/metadata").rglob("*")]
    return {file: (file.stat().st_mtime_ns, file.stat().st_ctime_ns) for file in files if file.is_file()}


def test_looking_while_a_job_runs_disturbs_nothing(toys):
    assert toys.make("dataset/emoji_few-32").returncode == 0
    toys.target = REFERENCE
    toys.gate("reference")
    run = toys.start("snakemake", REFERENCE, "--config", "scale=smoke")
    until(toys.began, lambda: "the job does not begin")
    before = times(toys.root)
    looks = [toys.snakemake(option) for option in ("-n", "--summary", "--list-rules")]
    looks += [toys.tesserae(*command) for command in (["stale"], ["why"], ["reproduce", "-n", REFERENCE])]
    for done in looks:
        assert done.returncode == 0, done.stdout + done.stderr
    assert "rule reference:" in looks[0].stdout and "rule dataset:" not in looks[0].stdout
    assert times(toys.root) == before
    toys.open()
    assert run.wait() == 0, run.stdout.read()


@pytest.mark.parametrize("arguments", [["--list-rules"], ["-np", REFERENCE], ["--unlock"]])
def test_reproduce_claims_nothing_when_it_makes_nothing(toys, arguments):
    done = toys.tesserae("reproduce", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "up to date" not in done.stdout and not (toys.root / "results").exists()


def test_reproduce_says_what_it_checked(toys):
    done = toys.tesserae("reproduce", REFERENCE, "--until", "dataset")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 artifact is left to make" in done.stdout and "up to date" not in done.stdout
    done = toys.tesserae("reproduce", REFERENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    said = re.search(r"^(\S+) at scale smoke is up to date: (\S+)$", done.stdout, re.M)
    assert said[1] == REFERENCE and (toys.root / said[2]).exists()
    (toys.root / REFERENCE).unlink()
    assert "is missing" in toys.tesserae("why", REFERENCE).stdout
    assert toys.tesserae("reproduce", REFERENCE).returncode == 0 and (toys.root / REFERENCE).exists()
    done = toys.tesserae("reproduce", "no_such_table")
    assert done.returncode == 1 and "'no_such_table' names no artifacts" in done.stderr


def test_every_way_of_snakemake_to_make_nothing_is_known():
    from snakemake import cli

    source = inspect.getsource(cli.args_to_api)
    branches = set(re.findall(r"elif args\.(\w+)", source)) - {"dryrun"}
    assert branches <= set(MAKES_NOTHING)


@pytest.mark.parametrize("arguments", [(), ("detok", REFERENCE)])
def test_targets_alone_are_read_as_snakemake_reads_them(arguments, monkeypatch):
    from snakemake.cli import get_argument_parser

    monkeypatch.delenv("SNAKEMAKE_PROFILE", raising=False)
    theirs, ours, given = get_argument_parser().parse_args([*arguments]), _parsed(arguments), _given(arguments)
    assert [*ours.targets] == [*theirs.targets] == [*arguments]
    assert not any(getattr(told, name) for told in (ours, theirs) for name in LOOKED_AT)
    assert {name: getattr(theirs, name) or None for name in vars(given)} == vars(given)
