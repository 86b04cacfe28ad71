"""Throughput: rates from the median loop, images of one length together, and a job that has its machine for itself."""

import json

import pytest
import torch

from tesserae.config.stages import STAGES
from tesserae.config.types import Resources
from tesserae.generators import maskgit
from tesserae.generators.maskgit_sampler import lengths
from tesserae.stages import throughput
from tesserae.stages.shared.sampling import Drawer, open_drawer
from tesserae.stages.throughput import Seconds, order_of
from tesserae.tokenizers import tatok
from tesserae.training import weights
from tesserae.workflow import scheduling
from tesserae.workflow.plan import read_plan
from tests.conftest import ROOT
from tests.small import TATOK
from tests.stages.works import work

SAMPLER = {
    "module": "tesserae.generators.maskgit_sampler",
    "guidance": 4.0,
    "steps": 2,
    "choice_temperature": 1.0,
    "guidance_schedule": "linear",
    "guidance_power": 3.0,
    "softmax_annealing": True,
}
GENERATOR = {
    "token_length": 19,
    "vocabulary": 24,
    "classes": 3,
    "width": 16,
    "blocks": 1,
    "heads": 2,
    "ragged": True,
    "slots": 19,
    "places": 16,
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "label_dropout": 0.1,
    "label_smoothing": 0.1,
    "unmasked_weight": 0.1,
}


def networks(folder, shortest: int = 4, longest: int = 19):
    """Folders of a generator that knows lengths from `shortest` to `longest`, and of its tokenizer."""
    generator = maskgit.build(GENERATOR)
    generator.length_counts[:, shortest : longest + 1] = 1
    made = {"generator": (generator, "tesserae.generators.maskgit", GENERATOR)}
    made["tokenizer"] = tatok.build(TATOK), "tesserae.tokenizers.tatok", TATOK
    for name, (model, module, spec) in made.items():
        (folder / name).mkdir(parents=True)
        weights.save(folder / name / "weights.safetensors", weights.used(model, model.state_dict()), module, spec)
    return {name: folder / name for name in made}


def job(tmp_path, roles=("own", "against")):
    inputs = {f"{role}_{name}": path for role in roles for name, path in networks(tmp_path / role).items()}
    systems = {role: {"sampler": SAMPLER} for role in roles}
    spec = {"samples": 12, "seed": 0, "classes": 3, "batch": 8, "loops": 3, "against": "other", "systems": systems}
    return work("throughput", tmp_path, spec, inputs=inputs)


def test_rates_of_the_whole_and_of_both_halves(tmp_path):
    values = throughput.run(job(tmp_path))
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert set(values) == set(STAGES["throughput"].values)
    assert all(value > 0 for value in values.values())
    # A loop takes as long as its halves; medians of three loops are those of nearly the same loops.
    whole = 1 / (1 / values["generator_per_second"] + 1 / values["decoder_per_second"])
    assert whole == pytest.approx(values["samples_per_second"], rel=0.5)
    assert found["measure"]["kind"] == "speed" and found["measure"]["against"] == "other"
    assert found["measure"]["device"] and found["measure"]["samples"] == 12
    assert set(map(int, found["batches"])) == {1, 8, 16, 128}


def test_what_is_compared_with_is_not_timed_against_itself(tmp_path):
    assert "factor" not in throughput.run(job(tmp_path, ("own",)))


def test_the_factor_is_of_the_same_loops(tmp_path, monkeypatch):
    times = iter([Seconds(9.0, 9.0), Seconds(9.0, 9.0)] + [Seconds(3.0, 1.0), Seconds(1.0, 1.0)] * 3)
    after = Seconds(1.0, 1.0)
    monkeypatch.setattr(throughput, "time_loop", lambda *arguments: next(times, after))
    values = throughput.run(job(tmp_path))
    assert values["samples_per_second"] == 3 and values["generator_per_second"] == 4
    assert values["decoder_per_second"] == 12 and values["factor"] == 2


def drawer_of(tmp_path) -> Drawer:
    return open_drawer(job(tmp_path), SAMPLER, "own_")


def test_images_of_similar_lengths_share_a_batch_and_all_are_drawn(tmp_path):
    drawer, labels, seeds = drawer_of(tmp_path), torch.arange(40) % 3, list(range(40))
    drawn = lengths(drawer.generator, labels, seeds=seeds)
    order = order_of(drawer, labels, seeds)
    assert sorted(order) == list(range(40)) and drawn[order].tolist() == sorted(drawn.tolist(), reverse=True)
    assert ((drawer.tokens(labels, seeds) != maskgit.ABSENT).sum(1) == drawn).all()  # what was foretold


def test_at_the_mean_length_all_images_have_it(tmp_path):
    generator = drawer_of(tmp_path).generator
    throughput._fix_length(generator)
    assert set(lengths(generator, torch.arange(30) % 3, seeds=list(range(30))).tolist()) == {12}  # of 4 to 19: 11.5


def test_products_are_in_full_precision_and_as_before_afterwards():
    torch.set_float32_matmul_precision("high")
    try:
        with throughput._full_precision():
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_nothing_else_runs_on_its_machine():
    plan = read_plan(ROOT, "smoke")
    assert plan.threads("throughput") > 10_000 > plan.threads("samples")
    options = scheduling.resources(Resources(), "throughput", plan.project.cluster)["slurm_extra"]
    assert "--exclusive" in options(None, attempt=1)
    assert "--exclusive" not in scheduling.resources(Resources(), "samples", plan.project.cluster)["slurm_extra"](
        None, attempt=1
    )


def test_each_generator_is_timed_with_the_one_that_it_is_compared_with():
    plan = read_plan(ROOT, "smoke")
    jobs = [job for job in plan.jobs.values() if job.stage == "throughput"]
    assert jobs and "throughput/maskgit_tatok_b56" in {job.id for job in jobs}
    for job in jobs:
        assert (
            job.spec["samples"] == plan.project.scale.evaluation.search_samples
        )  # fewer than the paper's file asks for
        roles = {"own", "against"} if job.recipe != job.spec["against"] else {"own"}
        assert job.spec["systems"].keys() == roles
        assert all(job.inputs[f"{role}_generator"].startswith("generator/") for role in roles)
    timed = {job.id for job in jobs}
    readers = {job.stage for job in plan.jobs.values() if timed & {*job.inputs.values()}}
    assert readers <= {"table", "figure", "claims", "notebook", "page", "lineage", "report"}  # nothing is trained again
