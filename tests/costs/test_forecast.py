"""The paper scale's forecast: calibration, memory, totals, warnings, and what is refused."""

import copy
import json

import numpy as np
import pytest
from click.testing import CliRunner

from tesserae.cli.plan import plan as command
from tesserae.config.stages import STAGES, TRAININGS
from tesserae.costs.assumed import LIGHT
from tesserae.costs.calibration import Rates, calibrate, published_hours
from tesserae.costs.describe import SELF
from tesserae.costs.forecast import forecast
from tesserae.costs.gpus import GPUS
from tesserae.costs.stages import NEEDS, Task, need
from tesserae.reporting.forecast import gantt, section, write_page
from tests.conftest import ROOT
from tests.costs.conftest import PUBLISHED, described

RATES = Rates(GPUS["a100"], 1e-3, 0.3, 1e-2)
ASKED = {"threads": 1, "nodes": 1, "gpus": 1, "processes": 1, "minutes": 60}


# ---- calibration ------------------------------------------------------------------------------------------------


def test_anchors_that_were_not_fitted_are_met(paper):
    """The aim is 25 %; 15 % is what three rates reach on eight trainings that they were not fitted on."""
    checks = paper.forecast["calibration"]["anchors"]
    assert [check["fitted"] for check in checks].count(True) == 3
    held_out = {check["row"]: check["ratio"] for check in checks if not check["fitted"]}
    assert len(held_out) == 8
    assert all(0.85 < ratio < 1.15 for ratio in held_out.values()), held_out


@pytest.mark.parametrize("other", ["SiT-B, 100 epochs", "MAR-L, 800 epochs"])
def test_rates_do_not_hang_on_the_generator_that_was_fitted(paper, other):
    """Not so for MAR-B, 800 epochs: per image it is too near to the S-B tokenizer to tell overhead from FLOP."""
    anchors = copy.deepcopy(paper.described["anchors"])
    for anchor in anchors:
        if anchor["row"] in (other, "MAR-B, 100 epochs"):
            anchor["fitted"] = anchor["row"] == other
    _, checks = calibrate(anchors, published_hours(PUBLISHED))
    assert all(0.85 < check.ratio < 1.15 for check in checks), checks


def test_anchors_that_determine_nothing_are_refused(paper):
    anchors = copy.deepcopy(paper.described["anchors"])
    hours = published_hours(PUBLISHED) | {"MAR-B, 100 epochs": (9000.0, 9000.0)}
    with pytest.raises(ValueError, match="not positive"):
        calibrate(anchors, hours)


def test_another_gpu_is_faster_by_less_than_its_peak(paper):
    a100 = forecast(described("generator/sit_b_joint"), PUBLISHED)["total"]["gpu_hours"]
    h100 = forecast(described("generator/sit_b_joint", gpu="h100"), PUBLISHED)["total"]["gpu_hours"]
    assert 1.3 < a100 / h100 < 989 / 312


# ---- memory -----------------------------------------------------------------------------------------------------


def test_every_training_fits_an_80_gb_gpu_with_its_share_of_the_batch(paper):
    """So neither sharding of parameters nor recomputing of activations is needed; 10 % are left for fragmentation."""
    trained = {row["stage"]: row["memory"] for row in paper.forecast["stages"] if row["stage"] in TRAININGS}
    assert trained.keys() == set(TRAININGS)
    assert all(2e9 < memory < 0.9 * 80e9 for memory in trained.values()), trained


def test_every_other_stage_fits_a_40_gb_gpu(paper):
    assert all(row["memory"] < 40e9 for row in paper.forecast["stages"] if row["stage"] not in TRAININGS)


def test_only_what_computes_asks_for_a_gpu(paper):
    assert not [row["stage"] for row in paper.forecast["stages"] if row["gpus"] and row["stage"] in LIGHT]


# ---- the whole --------------------------------------------------------------------------------------------------


def test_totals_are_those_of_the_jobs(paper):
    found, total = paper.forecast, paper.forecast["total"]
    assert (
        total["jobs"]
        == len(paper.described["jobs"])
        == len(found["schedule"])
        == sum(s["jobs"] for s in found["stages"])
    )
    on_gpus = sum((end - start) * len(gpus) for _, start, end, gpus in found["schedule"])
    assert total["gpu_hours"] == pytest.approx(on_gpus) == pytest.approx(sum(s["gpu_hours"] for s in found["stages"]))
    assert (
        total["wall_hours"] >= total["critical_hours"] == pytest.approx(sum(s["hours"] for s in found["critical_path"]))
    )
    assert found["critical_path"][0]["job"].startswith("dataset/")
    assert found["critical_path"][-1]["job"] == "report/index"
    assert {name.split("/")[0] for name, *_ in paper.described["jobs"]} == (NEEDS.keys() | LIGHT.keys()) - {
        "spread"  # which no run makes
    }


def test_fewer_gpus_take_longer_and_cost_the_same(paper):
    few = forecast({**paper.described, "gpus": 8}, PUBLISHED)["total"]
    assert few["gpu_hours"] == pytest.approx(paper.forecast["total"]["gpu_hours"])
    assert few["wall_hours"] > 2 * paper.forecast["total"]["wall_hours"]


def test_warnings_name_what_is_too_little(paper):
    told = "\n".join(paper.forecast["warnings"])
    assert "1.00 GB are free" in told
    tight = copy.deepcopy(paper.described)
    tight["resources"]["tokenizer"]["minutes"] = 60
    tight["resources"]["samples"]["minutes"] = 1
    told = "\n".join(forecast(tight, PUBLISHED)["warnings"])
    assert "are requeued and go on, tokenizer/comptok in" in told
    drawn = sum(name.startswith("samples/") for name, *_ in paper.described["jobs"])
    assert f"samples: {drawn} of {drawn} jobs exceed their limit of 1 minutes and are killed" in told
    long = forecast(described("generator/mar_l_system"), PUBLISHED)["warnings"]
    assert any(line.startswith("generator/mar_l_system alone runs for") for line in long)
    only = forecast(described("tokenizer/detok_sb_joint"), PUBLISHED)["warnings"]
    assert any(line.startswith("tokenizer takes 100% of all GPU-hours") for line in only)


def test_no_job_is_killed_by_its_own_limit(paper):
    assert not [line for line in paper.forecast["warnings"] if "can never end" in line]


def test_every_stage_has_a_cost():
    assert STAGES.keys() == NEEDS.keys() | LIGHT.keys() | {SELF}
    assert not NEEDS.keys() & LIGHT.keys()


def test_an_unknown_stage_costs_an_error_not_nothing():
    with pytest.raises(ValueError, match="tasting/x: the cost of stage tasting is not known; add it to NEEDS"):
        need(Task("tasting/x", {}, (), ASKED), RATES)


def test_describing_needs_no_torch_and_forgets_part_numbers():
    told = described("samples/mar_b_joint-cfg-1of8")
    assert all("shard" not in spec for spec in told["specs"])
    assert [name for name, *_ in told["jobs"] if name.startswith("samples/")] == ["samples/mar_b_joint-cfg-1of8"]
    assert json.loads(json.dumps(told)) == told  # plain data: it is the spec of a job


# ---- disk -------------------------------------------------------------------------------------------------------


def test_disk_is_what_the_stages_write(tmp_path):
    """Real stages of the smoke scale on few steps; JSON files and the headers of arrays are not foreseen."""
    from tesserae.stages import dataset, generator, samples, tokenizer, tokens
    from tesserae.workflow.plan import open_plan
    from tests.costs.stages import run

    jobs = open_plan(ROOT, "smoke").jobs
    spec = {
        stage: copy.deepcopy(dict(jobs[name].spec))
        for stage, name in {
            "dataset": "dataset/emoji_few-32",
            "tokenizer": "tokenizer/detok_sb_joint",
            "tokens": "tokens/detok_sb_joint",
            "generator": "generator/sit_b_joint",
            "samples": "samples/sit_b_joint-cfg",
        }.items()
    }
    for stage in ("tokenizer", "generator"):
        spec[stage]["training"] |= {"steps": 2}
    search = tmp_path / "search"
    search.mkdir()
    point = {"guidance": 2.0, "temperature": None}
    told = {"selected": {"cfg": point}, "statistic": "fid", "samples": 20, "candidates": {"cfg": [2.0, 4.0]}}
    (search / "search.json").write_text(json.dumps(told))
    data = run(tmp_path, dataset, spec["dataset"], {}, jobs["dataset/emoji_few-32"].sources)
    trained = run(tmp_path, tokenizer, spec["tokenizer"], {"dataset": data})
    cached = run(tmp_path, tokens, spec["tokens"], {"dataset": data, "tokenizer": trained})
    made = run(tmp_path, generator, spec["generator"], {"tokens": cached})
    inputs = {"generator": made, "tokenizer": trained, "tokens": cached, "search": search}
    drawn = run(tmp_path, samples, spec["samples"], inputs)

    counts = {f"{split}_images": len(np.load(data / f"{split}_labels.npy")) for split in ("train", "val")}
    tasks = {"dataset": Task("dataset/x", {"image_size": 32, **counts}, (), ASKED)}
    for stage, before in {
        "tokenizer": ["dataset"],
        "tokens": ["dataset", "tokenizer"],
        "generator": ["tokens"],
        "samples": ["generator", "tokenizer", "tokens"],
    }.items():
        tasks[stage] = Task(f"{stage}/x", spec[stage], tuple(tasks[name] for name in before), ASKED)
    folders = {"dataset": data, "tokenizer": trained, "tokens": cached, "generator": made, "samples": drawn}
    for stage, folder in folders.items():
        written = [file for file in folder.iterdir() if file.suffix in (".npy", ".safetensors")]
        headers = sum(header(file) for file in written)
        assert need(tasks[stage], RATES).disk == sum(file.stat().st_size for file in written) - headers, stage


def header(file) -> int:
    """Bytes before the data: of a .npy always 128 here, of safetensors as its first eight bytes say."""
    return 128 if file.suffix == ".npy" else 8 + int.from_bytes(file.read_bytes()[:8], "little")


# ---- what is shown ----------------------------------------------------------------------------------------------


def test_the_page_says_the_numbers_and_draws_the_same_chart_twice(paper, tmp_path):
    write_page(tmp_path / "one.html", paper.forecast)
    write_page(tmp_path / "two.html", paper.forecast)
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()
    text = section(paper.forecast)
    assert f"{paper.forecast['total']['gpu_hours']:,.0f} GPU-hours" in text
    assert all(step["job"] in text for step in paper.forecast["critical_path"]) and "128\u2013200" in text
    bars = gantt(paper.forecast).axes[0].patches
    assert len(bars) >= sum(bool(gpus) for *_, gpus in paper.forecast["schedule"])


def ask(*arguments: str):
    return CliRunner().invoke(command, arguments, obj={"root": ROOT, "scale": None})


def test_command(paper, tmp_path):
    said = ask("--scale", "paper", "--html", str(tmp_path / "plan.html"))
    assert said.exit_code == 0, said.output
    assert "Critical path" in said.output and "MAR-L, 800 epochs" in said.output
    assert max(map(len, said.output.splitlines())) <= 100
    assert (tmp_path / "plan.html").stat().st_size > 10_000
    told = json.loads(ask("--scale", "paper", "--gpu", "a100", "--json", "tokens/detok_sb_joint-1of8").output)
    assert [stage["stage"] for stage in told["stages"]] == ["dataset", "tokenizer", "tokens"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--scale", "paper", "--gpu", "v100"], "unknown GPU 'v100'; known: a100, h100"),
        (["--scale", "paper", "nothing"], "'nothing' names no artifacts"),
        (["--scale", "paper", "--gpus", "4"], "asks for 1 x 8 GPUs, but 4 GPUs"),
    ],
)
def test_what_cannot_be_planned_is_said(paper, arguments, words):
    said = ask(*arguments)
    assert said.exit_code == 1 and words in said.output
