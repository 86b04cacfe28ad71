"""Times of a scale without GPUs from times of jobs that ran: synthetic manifests, real specs."""

import copy
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from tesserae.cli.plan import plan as command
from tesserae.costs import measured, networks
from tesserae.costs.assumed import DECODED
from tesserae.costs.measured import Known, Timed, Unmeasured
from tesserae.costs.stages import Task, check_gpus
from tesserae.lineage import manifest as manifests
from tesserae.workflow.plan import open_plan
from tests.conftest import ROOT
from tests.small import DETOK

SCALE, OTHER = "smoke", "pocket"
WANTED = "metrics/sit_b_joint-cfg"
SIZES = "sizes/detok_sb_joint"
FOUND = {"train_images": 120, "val_images": 30}
RATES = {"dataset": 0.01, "metrics": 2.0}  # seconds per unit; of all else 1e-10


@pytest.fixture(scope="module")
def plans() -> SimpleNamespace:
    return SimpleNamespace(**{scale: open_plan(ROOT, scale) for scale in (SCALE, OTHER)})


def write(root, plan, *, stages=None, left_out=(), seconds=None, gpu=None) -> None:
    """Manifests of what WANTED is made from, one after the other with 0.5 s between; seconds: of some."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    tasks: dict[str, Task] = {}
    for name in plan.demanded(WANTED):
        job = plan.jobs[name]
        spec = job.spec | (FOUND if job.stage == "dataset" else {})
        tasks[name] = Task(name, spec, tuple(tasks[p] for p in job.inputs.values()), {"threads": 1, "processes": 1})
        took = (seconds or {}).get(name, measured.units(tasks[name]) * RATES.get(job.stage, 1e-10))
        record = {
            "artifact": name,
            "stage": job.stage,
            "recipe": job.recipe,
            "spec": job.spec,
            "inputs": {producer: {} for producer in job.inputs.values()},
            "metrics": FOUND if job.stage == "dataset" else {},
            "hardware": {"gpu": gpu, "processes": 1},
            "seconds": took,
            "started": now.isoformat(),
            "ended": (now + timedelta(seconds=took)).isoformat(),
        }
        now += timedelta(seconds=took + 0.5)
        if job.stage not in left_out and (stages is None or job.stage in stages):
            folder = root / plan.folder(name)
            folder.mkdir(parents=True)
            (folder / manifests.NAME).write_text(json.dumps(record))


def forecast(root, plan, *wanted, cores=2) -> dict:
    timed, left_out = measured.read(root)
    assert not left_out
    jobs = {name: plan.jobs[name] for name in plan.demanded(*wanted)}
    asked = {job.stage: plan.request(job.stage) for job in jobs.values()}
    return measured.forecast(jobs, asked, scale=plan.scale, cores=cores, timed=timed)


def task(name: str, module: str = "a", **spec) -> Task:
    return Task(name, {"module": module, **spec}, (), {"threads": 1, "processes": 1})


def timed(name: str, work: float, seconds: float, scale: str = "s", module: str = "a") -> Timed:
    return Timed(scale, task(name, module), work, seconds, 0.0, seconds)


# ---- the line ---------------------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(2, 1000), min_size=1, max_size=8), st.floats(1e-12, 10), st.floats(0, 50), st.integers(1, 5000)
)
def test_exact_where_seconds_follow_a_line(works, rate, constant, work):
    """Proportional ones from any number of jobs; with a constant from three over a range."""
    wide = len(works) >= 3 and max(works) >= measured.RANGE * min(works)
    constant = constant if wide else 0.0
    known = Known(timed(f"generator/{i}", unit, constant + rate * unit) for i, unit in enumerate(works))
    found = known.predict(task("generator/x"), "s", work)
    assert found.seconds == pytest.approx(constant + rate * work, rel=1e-6)
    assert (found.jobs, found.reach) == (len(works), work / max(works))


def test_one_slow_job_changes_nothing_and_noise_over_no_range_gives_no_constant():
    jobs = [timed(f"generator/{i}", unit, 5 + 2 * unit) for i, unit in enumerate([1, 2, 4, 8, 16])]
    assert measured.line([*jobs, timed("generator/slow", 8, 200)]) == pytest.approx((5, 2))
    assert measured.line([timed("generator/1", 10, 10), timed("generator/2", 11, 10.1)] * 2)[0] == 0


# ---- which jobs speak for which ---------------------------------------------------------------------------------


def test_nearest_relatives_first():
    own, same = timed("generator/1", 1, 1.0), timed("generator/2", 1, 2.0, "large")
    other, tiny = timed("generator/3", 1, 3.0, module="b"), timed("generator/4", 1, 0.1, "tiny")
    unlike = timed("tokenizer/5", 1, 9.0)
    seconds = []
    for some in ([own, same, other, tiny], [same, other, tiny], [other, tiny], [other]):
        found = Known([*some, unlike]).predict(task("generator/x"), "s", 1.0)
        seconds.append((found.seconds, found.scale, found.same_system))
    assert seconds == [(1.0, "s", True), (2.0, "large", True), (0.1, "tiny", True), (3.0, "s", False)]
    with pytest.raises(Unmeasured):
        Known([unlike]).predict(task("generator/x"), "s", 1.0)


def test_each_measured_job_is_checked_against_the_others():
    jobs = [timed(f"generator/{i}", 1, seconds) for i, seconds in enumerate([1.0, 1.0, 2.0])]
    checked = Known([*jobs, timed("tokenizer/alone", 1, 7.0)]).check([*jobs, timed("tokenizer/alone", 1, 7.0)])
    assert [predicted for _, predicted in checked] == [1.5, 1.5, 1.0, 7.0]  # the last: an equal one that ran, too
    said = measured.errors(checked[:3])
    assert said == pytest.approx({"jobs": 3, "median": 0.5, "most": 0.5, "sum": 1.0})
    assert measured.errors([]) is None


def test_time_between_jobs_is_what_a_core_waits():
    """Two at a time: 0-10 and 0-4, then 5-8 after the second (1 s), 11-12 after it (3 s), 12-13 after the first."""
    spans = [(0, 10), (0, 4), (5, 8), (11, 12), (12, 13)]
    jobs = [Timed("s", task(f"generator/{i}"), 1, b - a, a, b) for i, (a, b) in enumerate(spans)]
    assert Known(jobs).between("s") == 2.0
    assert Known(jobs[:1]).between("s") == 0.0


# ---- a scale ----------------------------------------------------------------------------------------------------


def test_another_scale_is_predicted_exactly_where_seconds_are_proportional(plans, tmp_path):
    write(tmp_path / "a", plans.pocket)
    write(tmp_path / "a", plans.smoke, stages=("dataset",))  # else nobody knows how many images it has
    write(tmp_path / "b", plans.smoke)
    guessed, known = forecast(tmp_path / "a", plans.smoke, WANTED), forecast(tmp_path / "b", plans.smoke, WANTED)
    assert guessed["total"]["made"] == 1 and known["total"]["made"] == known["total"]["jobs"] == 10
    assert guessed["between"] == pytest.approx(0.5, abs=1e-6)
    for one, other in zip(guessed["stages"], known["stages"], strict=True):
        assert one["stage"] == other["stage"]
        assert one["cpu_hours"] == pytest.approx(other["cpu_hours"], rel=1e-6)
        assert one["made"] or [said["scale"] for said in one["basis"]] == [OTHER]
    total = guessed["total"]
    assert total["critical_hours"] == pytest.approx(sum(step["hours"] for step in guessed["critical_path"]))
    assert total["critical_hours"] <= total["wall_hours"] <= total["cpu_hours"] + 1e-9


def test_what_ran_with_other_settings_is_predicted(plans, tmp_path):
    write(tmp_path, plans.smoke, seconds={"generator/sit_b_joint": 100.0})
    changed = copy.copy(plans.smoke)
    job = copy.deepcopy(plans.smoke.jobs["generator/sit_b_joint"])
    job.spec["training"]["steps"] *= 2
    changed.jobs = plans.smoke.jobs | {job.id: job}
    row = next(row for row in forecast(tmp_path, changed, WANTED)["stages"] if row["stage"] == "generator")
    assert row["made"] == 0
    assert row["cpu_hours"] * 3600 == pytest.approx(200.5, rel=1e-3)


def test_how_well_other_scales_predict_this_one(plans, tmp_path):
    write(tmp_path, plans.pocket)
    write(tmp_path, plans.smoke)
    found = forecast(tmp_path, plans.smoke, WANTED)
    assert found["across"]["jobs"] == 10 and found["across"]["most"] < 1e-6
    assert found["across"]["sum"] == pytest.approx(1.0)


def test_what_nothing_is_counted_of_takes_what_it_took():
    """Controls by chance and components of patches do no work that is counted: no division by it."""
    found = [open_plan(ROOT, scale) for scale in ("pocket", "desk")]
    for plan in found:
        for name in ("probe_control/", "task_control/", "patch_coder/"):
            jobs = [job for job in plan.jobs.values() if job.id.startswith(name)]
            some = [
                measured.units(described(plan, job)) for job in jobs if "chance" in job.id or name == "patch_coder/"
            ]
            assert some and min(some) > 0
    zero = [Timed("s", task(f"probe_control/{i}"), measured.LEAST, 0.1, 0.0, 0.1) for i in range(3)]
    large = Timed("s", task("probe_control/large"), 1e12, 70.0, 0.0, 70.0)
    known = Known([*zero, large])
    assert known.predict(task("probe_control/new"), "s", measured.LEAST).seconds == pytest.approx(0.1, rel=0.01)
    assert known.predict(task("probe_control/new"), "s", 1e12).seconds == pytest.approx(70.0, rel=0.01)
    with pytest.raises(Unmeasured):
        Known(zero).predict(task("probe_control/new"), "s", 1e12)


def described(plan, job) -> Task:
    """A job as a task, with all it is made from; data sets of a few images."""
    producers = tuple(described(plan, plan.jobs[name]) for name in job.inputs.values())
    spec = job.spec | (FOUND if job.stage == "dataset" else {})
    return Task(job.id, spec, producers, {"threads": 1, "processes": 1})


def test_what_was_never_measured_is_named_with_what_to_run(plans, tmp_path):
    with pytest.raises(Unmeasured, match=r"images dataset/emoji_few-32 has .* reproduce dataset/emoji_few-32"):
        forecast(tmp_path, plans.smoke, WANTED)
    write(tmp_path, plans.smoke, stages=("dataset", "tokenizer"))
    with pytest.raises(Unmeasured, match=r"none of tokens, generator did: .*reproduce .*tokens/detok_sb_joint"):
        forecast(tmp_path, plans.smoke, "generator/sit_b_joint")


def test_a_stage_that_only_another_scale_has_is_told_from_what_others_take_for_a_flop(plans, tmp_path):
    write(tmp_path, plans.smoke, left_out=("tokens", "features"))
    found = forecast(tmp_path, plans.smoke, WANTED)
    lines = {line["stage"]: line for line in found["stages"]}
    assert lines["features"]["basis"][0]["scale"] == measured.OTHERS
    assert any("no job of these stages was measured" in told and "tokens" in told for told in found["warnings"])
    jobs = [plans.smoke.jobs[name] for name in plans.smoke.demanded(WANTED)]
    work = sum(measured.units(described(plans.smoke, job)) for job in jobs if job.stage == "features")
    assert lines["features"]["cpu_hours"] * 3600 - 0.5 == pytest.approx(work * 1e-10, rel=1e-3)  # as fast as all others


def test_light_stages_may_be_assumed_and_others_stand_in_with_a_word(plans, tmp_path):
    write(tmp_path, plans.smoke)
    assert forecast(tmp_path, plans.smoke, SIZES)["stages"][0]["basis"][0]["scale"] == measured.ASSUMED
    told = "\n".join(forecast(tmp_path, plans.smoke, "generator/mar_b_joint")["warnings"])
    assert "other systems speak for them (*): generator of mar" in told


def test_far_beyond_the_measured_is_a_warning(plans, tmp_path):
    write(tmp_path, plans.smoke)
    write(tmp_path, plans.pocket, stages=("dataset",))
    told = "\n".join(forecast(tmp_path, plans.pocket, WANTED)["warnings"])
    assert "far beyond the largest measured job" in told
    assert "reproduce" in told and "generator/sit_b_joint" in told.split("reproduce", 1)[1]


def test_manifests_of_gpus_and_of_other_versions_do_not_count(plans, tmp_path):
    write(tmp_path, plans.smoke, gpu="H100")
    found, left_out = measured.read(tmp_path)
    assert not found and len(left_out) == 10
    file = tmp_path / "results/smoke/generator/sit_b_joint/manifest.json"
    record = json.loads(file.read_text())
    record["hardware"]["gpu"] = None
    file.write_text(json.dumps(record))
    assert [one.task.id for one in measured.read(tmp_path)[0]] == ["generator/sit_b_joint"]
    del record["spec"]["training"]["microbatches"]
    file.write_text(json.dumps(record))
    assert any("generator/sit_b_joint of smoke: KeyError 'microbatches'" in line for line in measured.read(tmp_path)[1])


@pytest.mark.parametrize(
    ("name", "spoken_for"),
    [
        ("semantic_features/siglip_sae", "lite2"),
        ("sae/siglip_sae", "tesserae.sae.topk"),
        ("concepts/siglip_sae-emoji_few_subgroups-32", "lite2"),
        ("codes/concepttok_bb64", "tesserae.tokenizers.concepttok"),
        ("concept_f1/concepttok_bb64", "tesserae.tokenizers.concepttok"),
    ],
)
def test_work_of_the_road_to_concepts(plans, name, spoken_for):
    """All of it counted, and compared with jobs of the same encoder or tokenizer."""
    asked, made = {"threads": 1, "processes": 1}, {}
    for some in plans.smoke.demanded(name):
        job = plans.smoke.jobs[some]
        spec = job.spec | (FOUND if job.stage == "dataset" else {})
        made[some] = Task(some, spec, tuple(made[p] for p in job.inputs.values()), asked)
    assert measured.units(made[name]) > 1e6 and measured.system(made[name]) == spoken_for


def test_a_data_set_of_rows_is_as_large_as_its_rows_until_it_is_made(plans):
    spec = {"provider": "llava_next", "counts": {"train rows": 40}, "image_size": 32}
    job = SimpleNamespace(id="dataset/x", stage="dataset", spec=spec, inputs={})
    asked = {"dataset": SimpleNamespace(threads=1, per_node=1, nodes=1, world=1)}
    (told,) = measured._tasks({job.id: job}, asked, Known([]), "x")
    assert measured.units(told) == pytest.approx(40 / DECODED)


@pytest.mark.parametrize("recipe", ["va_vae", "maetok"])
def test_what_cannot_be_counted_grows_with_its_steps(plans, recipe):
    job = plans.smoke.jobs[f"tokenizer/{recipe}"]
    longer = copy.deepcopy(job.spec)
    longer["training"]["steps"] *= 3
    asked = {"threads": 1, "processes": 1}
    once = measured.units(Task(job.id, job.spec, (), asked))
    assert measured.units(Task(job.id, longer, (), asked)) == pytest.approx(3 * once) and once > 1e9


def test_embedded_features_are_counted_as_pytorch_counts_the_network_itself():
    from tesserae.encoders.embedded import EmbeddedNetwork
    from tesserae.metrics.features import EMBEDDED_SIDE

    network = EmbeddedNetwork(EMBEDDED_SIDE)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.classify(network.head(network.spatial(torch.zeros(2, 3, 32, 32, dtype=torch.uint8))))
    ours = 2 * networks.features("embedded", 2)["flops"]["fp32"]
    assert ours == pytest.approx(counter.get_total_flops(), rel=0.02)


def test_the_perceptual_loss_in_a_package_is_counted_as_pytorch_counts_it():
    from tesserae.losses.perceptual import EarlyStages

    distance, real, fake = EarlyStages(), torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        distance(real, fake).mean().backward()
    each = networks.perceptual_loss("lite2", 32, 2, False)["fp32"]
    assert 2 * each == pytest.approx(counter.get_total_flops(), rel=0.02)
    module, plain = "tesserae.tokenizers.detok", DETOK | {"mask_ratio": 0.0}
    without, compared = (
        networks.training(module, model, 2, "fp32") for model in (plain, plain | {"perceptual": "lite2"})
    )
    assert compared["flops"]["fp32"] == pytest.approx(without["flops"]["fp32"] + each)
    assert compared["frozen"] == sum(p.numel() for p in distance.parameters()) and without["frozen"] == 0


def test_a_scale_of_which_only_some_stages_ask_for_gpus_is_refused():
    with pytest.raises(ValueError, match="tokenizer/x asks for no GPU, but other stages"):
        check_gpus([Task("table/x", {}, (), {"gpus": 0}), Task("tokenizer/x", {}, (), {"gpus": 0})])


# ---- the command ------------------------------------------------------------------------------------------------


def ask(root, *arguments: str):
    return CliRunner().invoke(command, arguments, obj={"root": root, "scale": SCALE})


def test_command(plans, project):
    write(project, plans.smoke)
    said = ask(project, "--cores", "3", WANTED)
    assert said.exit_code == 0, said.output
    assert "smoke on 3 CPU cores: 10 jobs" in said.output and "10 jobs are made" in said.output
    assert max(map(len, said.output.splitlines())) <= 100
    assert json.loads(ask(project, "--json", WANTED).output)["total"]["jobs"] == 10


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--gpus", "8"], "--gpus: for scales with GPUs; not for smoke"),
        (["--scale", "paper", "--cores", "8"], "--cores: for scales without GPUs; not for paper"),
        ([WANTED], "make it first: `tesserae --scale smoke reproduce dataset/"),
    ],
)
def test_what_cannot_be_planned_is_said(project, arguments, words):
    said = ask(project, *arguments)
    assert said.exit_code != 0 and words in said.output
