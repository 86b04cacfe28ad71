"""A plan that was kept is the plan that would be worked out now, or it is not taken."""

import os
import shutil
import time

import pytest

from tesserae.config.errors import ConfigError
from tesserae.config.project import read_project
from tesserae.workflow import remembered
from tesserae.workflow.graph.whole import jobs
from tests.config.test_config import edit
from tests.conftest import ROOT


@pytest.fixture
def worked_out(monkeypatch, tmp_path) -> list[str | None]:
    """An empty cache; the scales of the plans that did not come from it, in order."""
    monkeypatch.setenv("TESSERAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(remembered, "SETTLED", -1e9)  # one may edit while tests run
    asked = []
    monkeypatch.setattr(
        remembered, "read_project", lambda root, scale: asked.append(scale) or read_project(root, scale)
    )
    return asked


@pytest.fixture
def small(project):
    """A project of one paper, which is planned sooner."""
    edit(project, "config.yaml", lambda c: c.update(papers=["concepttok"]))
    return project


def kept(tmp_path) -> list:
    return sorted((tmp_path / "cache/plans").glob("*"))


def test_a_kept_plan_is_the_one_that_was_worked_out(worked_out):
    project = read_project(ROOT, "smoke")
    expected = jobs(project)
    for _ in range(2):
        found = remembered.planned(ROOT, "smoke")
        assert found == (project, expected) and [*found[1]] == [*expected]  # producers before consumers
    assert worked_out == ["smoke"]


def test_each_question_has_its_own_answer(worked_out, small):
    with_forecast = remembered.planned(small, "pocket")[1]
    without = remembered.planned(small, "pocket", forecast=False)[1]
    assert with_forecast.keys() - without.keys() == {"forecast/paper"}
    assert remembered.planned(small, "pocket")[1] == with_forecast
    assert remembered.planned(small, "pocket", forecast=False)[1] == without
    edit(small, "config.yaml", lambda c: c.update(scale="smoke"))
    for forecast in (True, False):  # where there is none, it is the same question
        assert remembered.planned(small, None, forecast)[0].scale.scale == "smoke"
    assert worked_out == ["pocket", "pocket", None]


def test_another_text_is_another_plan_and_other_times_are_not(worked_out, small, tmp_path):
    remembered.planned(small, "smoke")
    for file in (small / "config").rglob("*.yaml"):
        os.utime(file, (0, 0))
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(small, elsewhere, symlinks=True, ignore=shutil.ignore_patterns("cache"))
    moved, found = remembered.planned(elsewhere, "smoke")
    assert worked_out == ["smoke"] and moved.root == elsewhere
    assert moved.context.scale_file == read_project(elsewhere, "smoke").context.scale_file
    edit(elsewhere, "scales/smoke.yaml", lambda c: c["generator_training"].update(lr=0.5))
    assert remembered.planned(elsewhere, "smoke")[1] != found and len(worked_out) == 2
    assert remembered.planned(small, "smoke")[1] == found and len(worked_out) == 2
    edit(elsewhere, "scales/smoke.yaml", lambda c: c.update(image_side=1))
    for _ in range(2):  # what is wrong is said each time
        with pytest.raises(ConfigError, match="image_side"):
            remembered.planned(elsewhere, "smoke")


def test_other_code_plans_anew(worked_out, small, monkeypatch):
    remembered.planned(small, "smoke")
    scan = remembered.fingerprint.scan

    def edited(name: str):
        found = scan(name)
        return found._replace(digest="edited") if name == "tesserae.workflow.graph.shown" else found

    monkeypatch.setattr(remembered.fingerprint, "scan", edited)
    remembered.planned(small, "smoke")
    assert worked_out == ["smoke"] * 2


def test_a_damaged_plan_is_worked_out_again(worked_out, small, tmp_path):
    whole = remembered.planned(small, "smoke")
    (file,) = kept(tmp_path)
    content = file.read_bytes()
    for damaged in (b"", content[:1000], b"cnowhere\nnothing\n."):
        file.write_bytes(damaged)
        assert remembered.planned(small, "smoke") == whole
        assert file.read_bytes() == content
    assert len(worked_out) == 4


def test_what_may_be_of_two_texts_is_not_kept(worked_out, small, tmp_path, monkeypatch):
    """A file of the configuration that was edited and put back while it was read; and code that was imported before."""

    def undone(root, scale):
        found = read_project(root, scale)
        file = root / "config/datasets.yaml"
        file.write_text(file.read_text())
        return found

    monkeypatch.setattr(remembered, "read_project", undone)
    remembered.planned(small, "smoke")
    assert kept(tmp_path) == []
    monkeypatch.setattr(remembered, "read_project", read_project)
    monkeypatch.setattr(remembered, "SETTLED", time.time())
    remembered.planned(small, "smoke")
    assert kept(tmp_path) == []


def test_a_file_outside_the_configuration_is_read_each_time(worked_out, small, tmp_path):
    file = small / "config/published/concepttok.csv"
    file.rename(tmp_path / "elsewhere.csv")
    edit(small, "papers/concepttok.yaml", lambda c: c.update(published="config/../elsewhere.csv"))
    remembered.planned(small, "smoke")
    assert kept(tmp_path) == []


def test_where_nothing_may_be_written_nothing_is_kept(worked_out, small, tmp_path):
    (tmp_path / "cache").write_text("in the way")
    assert remembered.planned(small, "smoke") == remembered.planned(small, "smoke")


def test_the_plans_that_nobody_asked_for_longest_go(worked_out, small, tmp_path, monkeypatch):
    monkeypatch.setattr(remembered, "KEPT", 2)
    edit(small, "config.yaml", lambda c: c.update(scale="smoke"))
    for scale, forecast in (("smoke", True), ("pocket", False), ("smoke", True), (None, True), ("smoke", True)):
        remembered.planned(small, scale, forecast)
        time.sleep(0.01)
    assert len(kept(tmp_path)) == 2 and worked_out == ["smoke", "pocket", None]
