"""What a run changed: numbers before it against numbers after it, whatever happened in between."""

import json
import types

import pytest

from tesserae.workflow import last_run
from tesserae.workflow.graph.job import Job
from tesserae.workflow.plan import Plan
from tesserae.workflow.staleness import ArtifactStatus

TABLE = {"paper": "detok", "source": "Table 1", "title": "Denoising"}
JOBS = [
    Job("tokenizer", "a", {}),
    Job("table", "detok_table_1", TABLE, inputs={"a": "tokenizer/a"}),
    Job("claims", "detok", {"paper": "detok"}, inputs={"a": "tokenizer/a"}),
    Job("report", "index", {}, inputs={"table": "table/detok_table_1", "claims": "claims/detok"}),
]
ALL = [job.id for job in JOBS]


class Run:
    """A project of four artifacts, which a test makes and makes again."""

    def __init__(self, root):
        self.plan = object.__new__(Plan)
        self.plan.project, self.plan.scale = types.SimpleNamespace(root=root), "smoke"
        self.plan.jobs = {job.id: job for job in JOBS}
        self.top, self.clock = root / "results" / "smoke", 0

    def make(self, name: str, content: dict | None = None) -> None:
        """An artifact, begun later than all others, with `content` in its JSON file."""
        self.clock += 1
        folder = self.plan.project.root / self.plan.folder(name)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "manifest.json").write_text(json.dumps({"started": f"t{self.clock}", "seconds": 1.5}))
        if content is not None:
            file = "claims.json" if name.startswith("claims") else "metrics.json"
            (folder / file).write_text(json.dumps(content))

    def make_all(self, fid: float, verdict: str) -> None:
        self.make("tokenizer/a")
        self.make("table/detok_table_1", {"Joint": {"FID": fid, "IS": 3.0}})
        self.make("claims/detok", {"claims": [{"id": "c-1", "verdict": verdict}, {"id": "c-2", "verdict": "not run"}]})
        self.make("report/index")

    def begin(self, *names: str, why: str = "gamma 3 → 2") -> None:
        """As before a run of `names`, the first of which is stale."""
        records = {
            name: last_run._read(self.plan.project.root / self.plan.folder(name) / "manifest.json") for name in ALL
        }
        stale = {name: [why] if name in names[:1] else [] for name in ALL}
        last_run.begin(self.plan, {name: ArtifactStatus(name, records[name], stale[name]) for name in ALL}, names)

    def end(self, **how) -> dict | None:
        return last_run.end(self.plan, **how)


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


def test_a_first_run_has_no_earlier_numbers(run):
    run.begin(*ALL)
    run.make_all(2.5, "inconclusive")
    found = run.end()
    assert found["made"] == {name.split("/")[0]: [name] for name in ALL}
    assert (found["again"], found["seconds"], found["finished"]) == (0, 6.0, True)
    assert found["tables"] == [TABLE | {"table": "table/detok_table_1", "first": True, "numbers": 2, "moved": []}]
    assert found["verdicts"] == [] and found["reasons"] == []
    assert json.loads((run.top / "changes.json").read_text()) == found


@pytest.fixture
def later(run):
    run.make_all(2.5, "inconclusive")
    return run


def test_what_moved_and_why(later):
    later.begin(*ALL)
    later.make_all(2.25, "reproduced")
    found = later.end()
    (table,) = found["tables"]
    assert not table["first"] and table["moved"] == [["Joint", "FID", 2.5, 2.25]] and table["numbers"] == 2
    assert found["verdicts"] == [{"paper": "detok", "claim": "c-1", "old": "inconclusive", "new": "reproduced"}]
    assert ["tokenizer/a", ["gamma 3 → 2"]] in found["reasons"]
    assert any(line == ["follows from tokenizer/a"] for _, line in found["reasons"])
    assert found["again"] == 4


def test_numbers_that_come_and_go_have_no_other_side(later):
    later.begin("table/detok_table_1")
    later.make("table/detok_table_1", {"Joint": {"FID": 2.5}, "Masking": {"FID": 1.0}})
    (table,) = later.end()["tables"]
    assert table["moved"] == [["Joint", "IS", 3.0, None], ["Masking", "FID", None, 1.0]]


def test_the_same_numbers_again_are_told_as_such(later):
    later.begin(*ALL)
    later.make_all(2.5, "inconclusive")
    found = later.end()
    assert found["tables"] == [] and found["verdicts"] == [] and found["again"] == 4


def test_a_run_that_makes_nothing_leaves_the_earlier_record(later):
    later.begin(*ALL)
    later.make_all(2.25, "reproduced")
    first = later.end()
    assert later.end() is None  # nothing was begun
    later.begin()
    assert later.end() is None
    later.begin(*ALL)  # and nothing came of it
    assert later.end() is None
    assert json.loads((later.top / "changes.json").read_text()) == first


@pytest.mark.parametrize("killed", [True, False])
def test_after_a_run_that_did_not_finish_the_next_one_compares_with_what_was_whole(later, killed):
    later.begin(*ALL)
    later.make("tokenizer/a")
    later.make("table/detok_table_1", {"Joint": {"FID": 9.0, "IS": 3.0}})
    if not killed:
        found = later.end(failed=True)
        assert not found["finished"] and [*found["made"]] == ["tokenizer", "table"]
    later.begin("table/detok_table_1", "claims/detok", "report/index", why="asked for")
    later.make("table/detok_table_1", {"Joint": {"FID": 2.25, "IS": 3.0}})
    later.make("claims/detok", {"claims": []})
    later.make("report/index")
    found = later.end()
    assert found["finished"] and found["made"].keys() == {"tokenizer", "table", "claims", "report"}
    assert found["tables"][0]["moved"] == [["Joint", "FID", 2.5, 2.25]]
    assert ["table/detok_table_1", ["asked for"]] in found["reasons"]


def test_damaged_files_have_no_numbers_and_stop_nothing(later):
    (later.top / "table/detok_table_1/metrics.json").write_text("[1")
    (later.top / "claims/detok/claims.json").write_text("[]")
    later.begin(*ALL)
    later.make_all(2.25, "reproduced")
    found = later.end()
    assert found["tables"][0]["first"] and found["verdicts"] == []


def test_names_that_are_no_jobs_are_none_of_its_business(later):
    last_run.begin(later.plan, {}, ["all/index"])
    assert later.end() is None
