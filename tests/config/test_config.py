"""Bad input is refused with file and key; good input resolves to the papers' numbers."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tesserae.config import spec as specs
from tesserae.config.errors import ConfigError
from tesserae.config.files import read_yaml
from tesserae.config.project import read_project
from tesserae.workflow.graph.shown import why_missing
from tesserae.workflow.graph.whole import jobs
from tests.conftest import ROOT


def edit(project: Path, file: str, change) -> None:
    path = project / "config" / file
    content = read_yaml(path)
    change(content)
    path.write_text(yaml.safe_dump(content, sort_keys=False))


@pytest.mark.parametrize(
    "file, change, key, problem",
    [
        (
            "papers/detok.yaml",
            lambda c: c["tokenizers"]["detok_sb"].update(gama=1.0),
            "tokenizers.detok_sb",
            "Extra inputs",
        ),
        ("papers/detok.yaml", lambda c: c["tokenizers"]["detok_sb"].update(gamma="3"), "gamma", "valid number"),
        (
            "papers/detok.yaml",
            lambda c: c["tokenizers"]["detok_sb"].update(gamma=-1.0),
            "gamma",
            "greater than or equal",
        ),
        (
            "papers/detok.yaml",
            lambda c: c["tokenizers"]["detok_sb"]["training"].update(batch=16.5),
            "training.batch",
            "integer",
        ),
        (
            "papers/detok.yaml",
            lambda c: c["tokenizers"]["detok_sb_joint"].update(base="detok_xx"),
            "detok_sb_joint.base",
            "unknown recipe 'detok_xx'",
        ),
        (
            "papers/detok.yaml",
            lambda c: c["tokenizers"]["detok_sb"].update(base="detok_sb_joint"),
            "base",
            "cyclic base",
        ),
        ("papers/detok.yaml", lambda c: c["tokenizers"]["detok_sb"].update(system="vqgan"), "system", "unknown system"),
        ("papers/detok.yaml", lambda c: c["tokenizers"]["detok_sb"].pop("gamma"), "gamma", "required"),
        (
            "papers/detok.yaml",
            lambda c: c["generators"]["sit_b_joint"].update(tokenizer="nothing"),
            "sit_b_joint.tokenizer",
            "unknown tokenizer recipe",
        ),
        ("papers/detok.yaml", lambda c: c["generators"]["sit_b"].update(size="XXL"), "size", "unknown size 'XXL'"),
        (
            "papers/detok.yaml",
            lambda c: c["generators"]["mar_b"]["training"].update(base_lr=1e-4),
            "training",
            "exactly one",
        ),
        (
            "papers/detok.yaml",
            lambda c: c["tables"]["table_1"]["columns"]["MAR-B w/ CFG FID"].update(artifact="metrics/no"),
            "tables.table_1.columns.MAR-B w/ CFG FID.artifact",
            "there is no artifact 'metrics/no'",
        ),
        (
            "scales/pocket.yaml",
            lambda c: c["datasets"].update(imagenet="emojis"),
            "datasets.imagenet",
            "unknown data set",
        ),
        ("scales/pocket.yaml", lambda c: c["patch_size"].update({16: 5}), "patch_size", "not divisible"),
        (
            "scales/pocket.yaml",
            lambda c: c["exceptions"].update(nobody={"set": {}, "reason": "x"}),
            "exceptions.nobody",
            "no such recipe",
        ),
        (
            "scales/pocket.yaml",
            lambda c: c["exceptions"]["detok_bb_extended"]["set"].update({"training.epoch": 3}),
            "training.epoch",
            "no such key",
        ),
        (
            "scales/pocket.yaml",
            lambda c: c["resources"].update(sampels={"threads": 2}),
            "",
            "resources.sampels: there is no such stage; one of dataset",
        ),
        (
            "scales/pocket.yaml",
            lambda c: c["resources"].update(samples={"processes": 2}),
            "",
            "resources.samples: 2 processes, but only sae, tokenizer, generator share their work",
        ),
        (
            "scales/paper.yaml",
            lambda c: c["resources"]["tokenizer"].update(nodes=3),
            "",
            "32 micro-batches cannot be divided by 24 processes",
        ),
        (
            "scales/pocket.yaml",
            lambda c: c["tokenizer_training"].update(microbatches=5),
            "tokenizer_training.microbatches",
            "a batch of 16 images has no 5 equal micro-batches",
        ),
        ("cluster.yaml", lambda c: c.update(warn_minutes=0), "warn_minutes", "greater than 0"),
        ("cluster.yaml", lambda c: c.update(partitions={}), "partitions", "Extra inputs"),
        ("scales/pocket.yaml", lambda c: c.update(scale="desk"), "scale", "'desk'"),
        ("config.yaml", lambda c: c.update(device="gpu"), "device", "auto"),
        ("papers/detok.yaml", lambda c: c["front"].update(figure="figure_9"), "front.figure", "no figure 'figure_9'"),
        ("papers/detok.yaml", lambda c: c["front"].update(table="figure_4"), "front.table", "no table 'figure_4'"),
        ("config.yaml", lambda c: c.update(scale="pokcet"), "", "no such file"),
    ],
)
def test_bad_configuration_names_file_and_key(project, file, change, key, problem):
    edit(project, file, change)
    scale = "paper" if file == "scales/paper.yaml" else None
    with pytest.raises(ConfigError) as caught:
        jobs(read_project(project, scale))
    assert key in caught.value.key
    assert problem in str(caught.value)
    assert caught.value.file.startswith("config/")
    assert caught.value.remedy


def test_a_key_that_stands_twice_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_text("gamma: 1.0\nb: 2\ngamma: 3.0\n")
    with pytest.raises(ConfigError, match="stands twice"):
        read_yaml(tmp_path / "a.yaml")


@given(st.floats(1e-12, 1e12))
def test_floats_are_read_as_floats_in_every_notation(tmp_path_factory, value):
    file = tmp_path_factory.mktemp("yaml") / "a.yaml"
    for text in (f"{value!r}", f"{value:e}", f"{value:.3g}"):
        file.write_text(f"x: {text}\n")
        assert read_yaml(file)["x"] == pytest.approx(float(text)) and not isinstance(read_yaml(file)["x"], str)


def test_paper_scale_has_the_papers_numbers():
    project = read_project(ROOT, "paper")
    spec = specs.tokenizer(project.tokenizers["detok_bb_extended"], project.context).values
    assert spec["training"] | {"lr": pytest.approx(4e-4)} == {
        "steps": 200 * 1251,
        "batch": 1024,
        "lr": pytest.approx(4e-4),
        "warmup_steps": 50 * 1251,
        "warmup": "linear",
        "decay": "cosine",
        "final": 0.0,
        "decay_fraction": 0.2,
        "ema_warmup": False,
        "ema": 0.999,
        "precision": "bf16",
        "betas": [0.9, 0.95],
        "weight_decay": 1e-4,
        "clip": 3.0,
        "seed": 1,
        "microbatches": 32,
    }
    assert spec["model"]["gan_start_step"] == 100 * 1251
    assert (spec["model"]["gamma"], spec["model"]["mask_ratio"]) == (3.0, 0.7)
    assert spec["model"]["encoder"] == {"width": 768, "blocks": 12, "heads": 12}
    generator = jobs(project)["generator/mar_b_joint"].spec
    assert (generator["model"]["token_length"], generator["model"]["token_width"]) == (256, 16)
    assert (generator["training"]["steps"], generator["training"]["lr"]) == (100 * 1251, 2e-4)


@pytest.mark.parametrize("scale", ["smoke", "desk"])
def test_what_a_claim_needs_survives_the_mapping(scale):
    project = read_project(ROOT, scale)
    found = {name: specs.tokenizer(recipe, project.context).values for name, recipe in project.tokenizers.items()}
    assert [
        (found[f"detok_{row}"]["model"]["gamma"], found[f"detok_{row}"]["model"]["mask_ratio"])
        for row in ("sb_baseline", "sb_masking", "sb_latent", "sb_joint", "bb_extended")
    ] == [(0.0, 0.0), (0.0, 0.7), (3.0, 0.0), (3.0, 0.7), (3.0, 0.7)]
    ablations = [found[f"detok_sb_{row}"]["training"] for row in ("baseline", "masking", "latent", "joint")]
    assert all(training == ablations[0] for training in ablations)  # rows differ in the corruption alone
    assert found["detok_bb_extended"]["training"]["steps"] > ablations[0]["steps"]
    assert (
        found["detok_bb_extended"]["model"]["encoder"]["blocks"] > found["detok_sb_joint"]["model"]["encoder"]["blocks"]
    )


def test_a_table_of_settings_shows_what_the_paper_says_where_a_scale_trains_without_it(project):
    told = read_project(project, "pocket")
    assert told.tokenizers["concepttok_bb64"]["gan_start_epoch"].value is None
    spec = jobs(told)["settings/concepttok_bb64"].spec
    assert spec["gan_start_epoch"] == 80


def test_what_is_left_to_another_scale_is_run_there():
    left = read_project(ROOT, "pocket").omitted
    assert {"at desk", "at paper"} <= set(left.values())
    elsewhere = {name: read_project(ROOT, name) for name in ("desk", "paper")}
    for recipe, reason in left.items():
        if reason.startswith("at ") and reason.removeprefix("at ") in elsewhere:
            assert recipe not in elsewhere[reason.removeprefix("at ")].omitted, (recipe, reason)


def test_a_system_has_its_own_rates_where_the_scale_names_it(project):
    def rates(content):
        content["tokenizer_training"].update(
            lr=1e-3, lrs={"concepttok": 2e-3}, muon={"lr": 0.02, "lrs": {"concepttok": 0.01}}
        )

    edit(project, "scales/smoke.yaml", rates)
    found = read_project(project, "smoke")
    plain, own = (
        specs.tokenizer(found.tokenizers[name], found.context) for name in ("detok_sb_baseline", "concepttok_bb64")
    )
    assert (plain.values["training"]["lr"], plain.values["training"]["muon"]) == (1e-3, {"lr": 0.02, "momentum": 0.95})
    assert (own.values["training"]["lr"], own.values["training"]["muon"]) == (2e-3, {"lr": 0.01, "momentum": 0.95})
    assert own.origins["training.muon.lr"].endswith("smoke.yaml: tokenizer_training.muon.lrs.concepttok")


@pytest.mark.parametrize("part", ["lrs", "batches", "steps_per_epochs", "muon.lrs"])
def test_settings_for_a_system_that_there_is_not_are_refused(project, part):
    def misspell(content):
        training = content["generator_training"]
        within = training.setdefault("muon", {"lr": 0.01}) if part.startswith("muon") else training
        within.setdefault(part.split(".")[-1], {})["llamagenn"] = 1

    edit(project, "scales/smoke.yaml", misspell)
    with pytest.raises(ConfigError, match=rf"generator_training\.{part}\.llamagenn: no such system") as refused:
        read_project(project, "smoke")
    assert "llamagen" in str(refused.value)


def test_every_value_of_a_spec_has_an_origin():
    project = read_project(ROOT, "pocket")
    for job in jobs(project).values():
        if job.stage in ("tokenizer", "generator", "dataset", "reference"):

            def leaves(nested, prefix=""):
                for key, value in nested.items():
                    yield from leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}"]

            assert all(job.origins.get(leaf) for leaf in leaves(job.spec)), job.id


def test_every_cell_of_every_published_table_in_use_has_a_number_to_come():
    import csv

    project = read_project(ROOT, "pocket")
    known = jobs(project)
    for paper in project.papers.values():
        with (ROOT / paper.published).open() as file:
            lines = [line for line in csv.DictReader(file) if not line["note"].startswith("text cell")]  # no number
            printed = {(line["table"], line["row"], line["column"]) for line in lines}
        for table in paper.tables.values():
            rows = {column: table.rows if told.rows is None else told.rows for column, told in table.columns.items()}
            cells = {
                (table.source, table.rows[row], column)
                for column, some in rows.items()
                for row in table.rows  # a printed number is shown, whether or not another is measured beside it
                if table.prints(row, column) and (row in some or (table.source, table.rows[row], column) in printed)
            }
            cited = {cell for cell in printed if cell[0] == table.source and cell[1] in table.published_rows}
            if not table.own:
                as_printed = {column for column, told in table.columns.items() if told.rows == []}  # told, not measured
                shown = cells | cited | {cell for cell in printed if cell[0] == table.source and cell[2] in as_printed}
                assert shown == {cell for cell in printed if cell[0] == table.source} and not cells & cited
            assert {row for _, row, _ in cited} == set(table.published_rows)
            told = {table.columns[column].of(row) for column, some in rows.items() for row in some}
            assert all(why_missing(project, artifact, known) for artifact in told - known.keys())


@pytest.mark.parametrize("scale", ["smoke", "pocket", "desk", "paper", "released"])
@pytest.mark.parametrize("paper", ["detok", "concepttok"])
def test_a_paper_can_be_run_alone(project, paper, scale):
    edit(project, "config.yaml", lambda c: c.update(papers=[paper]))
    found = jobs(read_project(project, scale))
    assert f"notebook/{paper}" in found
    assert {job.papers for job in found.values() if job.papers} == {(paper,)}


def test_schemas_are_up_to_date():
    from tesserae.config.schemas import schemas

    for name, content in schemas().items():
        assert json.loads((ROOT / "workflow" / "schemas" / f"{name}.json").read_text()) == content, (
            "run `tesserae schema`"
        )


def test_a_whole_number_is_the_same_setting_with_a_fraction_of_none(project):
    name = "detok_sb_joint"

    def identity() -> str:
        found = read_project(project, "smoke")
        return json.dumps(specs.tokenizer(found.tokenizers[name], found.context).values)

    before = identity()
    assert '"gamma": 3.0' in before
    edit(project, "papers/detok.yaml", lambda content: content["tokenizers"][name].update(gamma=3))
    assert identity() == before
