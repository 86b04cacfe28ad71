"""Seeds by recipe: what is planned for them, what has to have as many, and that more of them make nothing stale."""

import pytest

from tesserae.config.errors import ConfigError
from tesserae.config.project import read_project
from tesserae.config.seeds import of_seed, seed_of
from tesserae.config.stages import STAGES, stage_of
from tesserae.lineage import cells
from tesserae.workflow.graph.job import Job
from tesserae.workflow.graph.whole import jobs
from tests.config.test_config import edit

SCALE = "scales/smoke.yaml"
COLLECTING = {"table", "figure", "claims", "notebook", "lineage", "page", "report"}
JOINT = ("detok_sb_joint", "sit_b_joint", "mar_b_joint")


def planned(project, seeds) -> dict[str, Job]:
    edit(project, SCALE, lambda scale: scale.update(seeds=seeds))
    return jobs(read_project(project, "smoke", ["detok"]))


def trained(found: dict[str, Job], recipe: str) -> int:
    return sum(job.stage in ("tokenizer", "generator") and seed_of(job.recipe)[0] == recipe for job in found.values())


def test_a_pattern_gives_its_recipes_more_seeds_and_what_they_are_made_from(project):
    found = planned(project, {"default": 1, "sit_b_*": 2, "sit_b_joint": 4})
    assert [trained(found, name) for name in JOINT] == [4, 4, 1]
    assert [trained(found, name) for name in ("detok_sb_baseline", "sit_b_baseline", "mar_b_baseline")] == [2, 2, 1]
    assert found["generator/sit_b_joint.seed4"].inputs == {"tokens": "tokens/detok_sb_joint.seed4"}
    assert "config/scales/smoke.yaml: seeds" in found["generator/sit_b_joint.seed4"].origins["training.seed"]


def test_the_last_pattern_that_matches_decides(project):
    assert trained(planned(project, {"default": 1, "sit_b_joint": 3, "sit_b_*": 2}), "sit_b_joint") == 2
    assert trained(planned(project, {"default": 3, "detok_*": 1, "mar_*": 1, "sit_*": 1}), "sit_b_joint") == 1


def test_one_number_and_a_default_alone_say_the_same(project):
    assert planned(project, 2) == planned(project, {"default": 2})


def test_more_seeds_of_a_recipe_make_nothing_stale(project):
    before = planned(project, 2)
    found = planned(project, {"default": 2, "sit_b_joint": 3})
    new = found.keys() - before.keys()
    assert {seed_of(name)[1] for name in new} == {3}
    of = {name for name in new if not any(recipe in name for recipe in JOINT[:2])}
    assert of == set()  # of that generator and its tokenizer alone
    assert {"generator/sit_b_joint.seed3", "tokenizer/detok_sb_joint.seed3", "metrics/sit_b_joint-cfg.seed3"} <= new
    changed = {name for name, job in before.items() if found[name] != job}
    assert {stage_of(name) for name in changed} <= COLLECTING
    assert {"table/detok_table_1", "claims/detok", "report/index"} <= changed
    assert "table/detok_table_a1" not in changed or "detok_sb_joint" in str(before["table/detok_table_a1"].inputs)


def test_seeds_that_only_others_have_change_no_table(project):
    before = planned(project, 1)
    found = planned(project, {"default": 1, "mar_b_system_tuned": 2})  # a pair: generator and decoder have as many
    changed = {name for name, job in before.items() if found[name] != job}
    read = {name for name in before if any(producer.endswith("seed2") for producer in found[name].inputs.values())}
    shown = {name for name in changed if stage_of(name) in ("table", "figure", "claims")}
    assert shown and shown <= read
    assert trained(found, "detok_bb_extended_tuned") == trained(found, "mar_b_system") == 2


def test_a_table_knows_the_seeds_of_each_number(project):
    found = planned(project, {"default": 2, "sit_b_joint": 4, "mar_b_joint": 1, "mar_b_baseline": 1})
    table = found["table/detok_table_1"]
    behind = {}
    for row, column, source in (*cells.sources(table.spec), *cells.controls(table.spec)):
        assert set(source.artifacts) <= set(table.inputs.values()), (row, column)
        behind |= {source.artifacts[0]: len(source.artifacts)} if source.artifacts else {}
    assert behind["metrics/sit_b_joint-cfg"] == behind["generation_control/detok_sb_joint"] == 4
    assert behind["metrics/mar_b_joint-cfg"] == behind["metrics/mar_b_baseline-cfg"] == 1
    assert behind["metrics/sit_b_baseline-cfg"] == behind["generation_control/detok_sb_baseline"] == 2
    read = {name for name in table.inputs.values() if STAGES[stage_of(name)].seeded}
    assert sum(behind[name] for name in behind if STAGES[stage_of(name)].seeded) == len(read)


def test_tables_of_equal_numbers_of_seeds_say_nothing_of_each(project):
    found = planned(project, 2)
    assert not [name for name, job in found.items() if "seeds_of" in job.spec]
    assert found["table/detok_table_1"].spec["seeds"] == [1, 2]


def test_pages_say_the_fewest_and_the_most(project):
    found = planned(project, {"default": 1, "sit_b_joint": 3})
    assert found["page/detok"].spec["seeds"] == found["report/index"].spec["seeds"] == [1, 3]
    assert planned(project, 3)["page/detok"].spec["seeds"] == [3]


def test_what_a_critic_judges_has_no_more_seeds_than_the_critic(project):
    def gains(seeds):
        edit(project, "scales/desk.yaml", lambda scale: scale.update(seeds=seeds))
        found = jobs(read_project(project, "desk"))
        name = "{}/detok_sb_joint"
        return [
            sum(of_seed(name.format(stage), seed) in found for seed in range(1, 5))
            for stage in ("information_gain", "mode_connectivity")
        ]

    assert gains({"default": 1, "detok_sb_joint": 3}) == [3, 1]
    assert gains({"default": 1, "detok_sb_joint": 3, "comptok*": 2}) == [3, 2]


@pytest.mark.parametrize(
    ("seeds", "key", "problem"),
    [
        ({"default": 1, "detok_xx_*": 3}, "seeds.detok_xx_*", "no recipe with seeds has such a name"),
        ({"default": 1, "sae_*": 3}, "seeds.sae_*", "no recipe with seeds has such a name"),
        ({"default": 1, "sit_b_joint": 0}, "seeds.sit_b_joint", "greater than 0"),
        ({"sit_b_joint": 3}, "seeds", "no default"),
        (0, "seeds", "greater than 0"),
        ("3", "seeds", "dictionary"),
    ],
)
def test_seeds_that_mean_nothing_are_refused(project, seeds, key, problem):
    with pytest.raises(ConfigError) as caught:
        planned(project, seeds)
    assert caught.value.file == f"config/{SCALE}" and caught.value.key == key
    assert problem in str(caught.value) and caught.value.remedy


def test_patterns_of_papers_that_are_not_run_are_known(project):
    assert trained(planned(project, {"default": 1, "concepttok_*": 3}), "sit_b_joint") == 1


def test_each_training_seed_draws_samples_of_its_own_and_all_recipes_the_same(project):
    found = planned(project, 2)
    for stage in ("samples", "search_samples"):
        of = {
            seed: {job.spec["seed"] for job in found.values() if job.stage == stage and seed_of(job.recipe)[1] == seed}
            for seed in (1, 2)
        }
        assert [len(seeds) for seeds in of.values()] == [1, 1] and of[1] != of[2]
