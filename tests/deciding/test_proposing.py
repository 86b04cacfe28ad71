"""A proposal for a real scale: seeds of the recipes behind a claim, what they cost, and what is written."""

import json
import math

import pytest
import yaml
from click.testing import CliRunner

from tesserae.cli import prices
from tesserae.cli.main import main
from tesserae.config.project import read_project
from tesserae.config.seeds import seed_of
from tesserae.deciding.proposing import propose
from tesserae.lineage import manifest
from tesserae.publishing import so_far
from tesserae.workflow.graph.whole import jobs
from tests.config.test_config import edit

SCALE = "scales/smoke.yaml"


@pytest.fixture
def scale(project):
    edit(project, SCALE, lambda scale: scale.update(seeds=3))
    edit(project, "config.yaml", lambda config: config.update(papers=["detok"], scale="smoke"))
    found = read_project(project, "smoke")
    return found, jobs(found)


def evaluated(planned) -> dict:
    """Made-up verdicts: of claims about two numbers that are run, one close to its effect, one far from it."""
    spec, records = planned["claims/detok"].spec, []
    cells = {(cell["table"], cell["row"], cell["column"]): cell for cell in spec["cells"]}
    for claim in spec["claims"]:
        told = {key: claim[key] for key in ("id", "claim", "relation")}
        behind = [cells[tuple(key)] for key in claim["cells"]]
        if claim["relation"] not in ("lt", "gt") or any("reason" in cell for cell in behind):
            records.append(told | {"verdict": "not run", "reason": "too dear"})
            continue
        base = 10.0 if claim["relation"] == "lt" else 30.0
        values = [[base + 0.1 * k, base + 1.0, base - 1.0] for k in range(2)]
        differences = [b - a for a, b in zip(*values, strict=True)]
        sd = math.sqrt(sum((each - 0.1 / 3) ** 2 for each in differences) / 2)
        shown = [
            dict(zip(("table", "row", "column"), key, strict=True)) | {"values": each, "mean": sum(each) / 3}
            for key, each in zip(claim["cells"], values, strict=True)
        ]
        records.append(
            told
            | {"cells": shown, "steps": [{"differences": differences, "sd": sd * 40}], "published": {"relative": 0.2}}
            | {"verdict": "inconclusive", "reason": "wide", "n": 3}
        )
    return {"paper": "detok", "scale": "smoke", "seeds": [1, 2, 3], "claims": records}


def each_an_hour(wanted) -> dict[str, float]:
    return dict.fromkeys(wanted, 1.0)


def test_a_proposal_is_what_it_says(scale, project):
    found, planned = scale
    whole = propose(found, planned, {"detok": evaluated(planned)}, each_an_hour, budget=1e6, cap=20)
    assert whole.chosen and not whole.unaffordable and whole.seeds
    assert {entry.verdict for entry in whole.left} >= {"not run"}
    again = jobs(read_project(project, "smoke", seeds={"default": 3} | whole.seeds))
    new = again.keys() - planned.keys()
    assert {seed_of(name)[1] for name in new} <= set(range(4, 21)) and whole.jobs == len(new) == whole.hours
    for line in whole.chosen:
        for artifact in line.needed.claim.artifacts:
            assert f"{artifact}.seed{line.seeds}" in again
        assert line.seeds in (5, 8, 12, 20) and line.seeds >= line.needed.seeds
    assert whole.hours <= sum(line.hours for line in whole.chosen)
    part = propose(found, planned, {"detok": evaluated(planned)}, each_an_hour, budget=whole.hours / 3, cap=20)
    assert 0 < len(part.chosen) < len(whole.chosen) and part.hours <= whole.hours / 3
    assert [line.needed.claim.id for line in part.chosen] == [
        line.needed.claim.id for line in whole.chosen[: len(part.chosen)]
    ]
    few = propose(found, planned, {"detok": evaluated(planned)}, each_an_hour, budget=1e6, cap=4)
    assert few.chosen == [] and few.seeds == {} and any("not proposed" in entry.reason for entry in few.left)


@pytest.fixture
def run(scale, project, monkeypatch):
    monkeypatch.setattr(prices, "hours", lambda planned, wanted: each_an_hour(wanted))

    def run(*arguments: str):
        return CliRunner().invoke(main, ["--project", str(project), "--scale", "smoke", "decide", *arguments])

    return run


def leave(project, planned, spec: dict | None = None) -> None:
    folder = project / "results/smoke/claims/detok"
    folder.mkdir(parents=True)
    (folder / "claims.json").write_text(json.dumps(evaluated(planned)))
    told = planned["claims/detok"].spec if spec is None else spec
    (folder / manifest.NAME).write_text(json.dumps({"spec": told}))


def test_the_command_writes_what_it_shows(run, scale, project):
    leave(project, scale[1])
    file = project / "config" / SCALE
    before = file.read_text()
    shown = run("--hours", "1000")
    assert shown.exit_code == 0, shown.output
    assert file.read_text() == before and "+++ b/config/scales/smoke.yaml" in shown.output
    assert "decide --hours 1000 --write" in shown.output and "too dear" in shown.output
    told = json.loads(run("--hours", "1000", "--json").stdout)
    written = run("--hours", "1000", "--write")
    assert written.exit_code == 0 and file.read_text() != before
    seeds = yaml.safe_load(file.read_text())["seeds"]
    assert seeds == {"default": 3} | told["seeds"] and told["chosen"][0]["seeds"] == 3
    stale = run("--hours", "1000")  # what is proposed is not run yet
    assert stale.exit_code == 1 and "other settings or seeds" in stale.output
    assert "tesserae --scale smoke reproduce claims/detok" in stale.output


def test_claims_that_are_not_evaluated_are_an_error_with_the_command(run):
    found = run("--hours", "1")
    assert found.exit_code == 1 and "not evaluated at scale smoke" in found.output
    assert "tesserae --scale smoke reproduce claims/detok" in found.output
    assert "no claims of 'nothing'" in run("--hours", "1", "--paper", "nothing").output


def test_of_a_scale_that_was_run_in_part_it_asks_of_the_numbers_there_are(run, scale, project, monkeypatch):
    nothing = run("--hours", "1", "--so-far")
    assert nothing.exit_code == 0 and "0 claims decided, 0 open" in nothing.output and "not run yet" in nothing.output
    found = evaluated(scale[1])
    monkeypatch.setattr(so_far, "judged", lambda plan, paper: found)
    leave(project, scale[1])
    whole, part = (json.loads(run("--hours", "1000", "--json", *more).stdout) for more in ((), ("--so-far",)))
    assert part == whole and part["chosen"]
