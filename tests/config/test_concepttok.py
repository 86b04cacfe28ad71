"""ConceptTok's configuration: its settings are those in print, and its tables and claims find their numbers."""

import math
import operator
from pathlib import Path

import pytest

from tesserae.config.claims import Series, read_claims
from tesserae.config.project import Project, read_project
from tesserae.reporting import published
from tesserae.stages.settings import settings
from tesserae.workflow.graph.job import Job
from tesserae.workflow.graph.whole import jobs
from tesserae.workflow.plan import open_plan
from tests.conftest import ROOT

PRINTED = published.load(ROOT / "config/published/concepttok.csv")
CLAIMS = read_claims(ROOT, Path("config/published/concepttok.claims.yaml"))
CITED = {"GiGaTok-B-L + LlamaGen-B", "GiGaTok-XL-XXL + LlamaGen-B", "VA-VAE + LightningDiT"}
CITED |= {"LlamaGenTok + LlamaGen-XL", "Open-MAGViT2 + Open-MAGViT2-XL"}


@pytest.fixture(scope="module")
def paper() -> tuple[Project, dict[str, Job]]:
    """The project at the paper's scale, and its plan."""
    project = read_project(ROOT, "paper")
    return project, jobs(project)


def test_recipes_say_what_the_paper_prints(paper):
    project, found = paper
    checked = 0
    for table in project.papers["concepttok"].tables.values():
        for name, column in table.columns.items():
            for row, label in table.rows.items():
                if column.of(row).startswith("settings/") and not table.own:
                    ours = settings(found[column.of(row)].spec)[column.values.get(row, column.value)]
                    assert ours == published.lookup(PRINTED, table.source, label, name), (table.source, label)
                    checked += 1
    assert checked == 5 + 14 + 19 + 4 + 4  # tokens of Table 1, Table 5, Section 5.1, Appendices B.1 and B.3


def test_what_is_trained_and_how_long(paper):
    _, found = paper
    made = {stage: [job for job in found.values() if job.stage == stage] for stage in ("sae", "tokenizer", "generator")}
    trained = {
        stage: {job.recipe: job.spec for job in some if job.papers == ("concepttok",) and "training" in job.spec}
        for stage, some in made.items()
    }
    assert {stage: len(some) for stage, some in trained.items()} == {"sae": 1, "tokenizer": 7, "generator": 8}
    assert trained["sae"]["siglip_sae"]["training"]["steps"] == 13640
    for name, spec in trained["tokenizer"].items():
        large = "_bl" in name
        assert spec["training"]["steps"] == (500_400 if large else 1_000_800)
        assert spec["model"]["gan_start_step"] == (200_160 if large else 400_320)
        assert (spec["training"]["warmup_steps"], spec["training"]["final"]) == (10_000, 0.1)
    assert all(spec["training"]["steps"] == 300 * 5004 for spec in trained["generator"].values())
    assert all(spec["training"]["warmup_steps"] == 5004 for spec in trained["generator"].values())


def test_the_rows_of_table_4_differ_in_text_and_concepts_alone(paper):
    _, found = paper
    models = [found[f"tokenizer/concepttok_{row}"].spec["model"] for row in ("bb64_baseline", "bb64_text", "bb64")]
    assert [(model["text"], model["concepts"]) for model in models] == [
        ("none", None),
        ("encoder", None),
        ("encoder", 24576),
    ]
    own = ("text", "text_width", "text_tokens", "concepts", "loss_weights")
    rest = [{key: value for key, value in model.items() if key not in own} for model in models]
    assert rest[0] == rest[1] == rest[2]
    training = [found[f"tokenizer/concepttok_{row}"].spec["training"] for row in ("bb64_baseline", "bb64_text", "bb64")]
    assert training[0] == training[1] == training[2]


@pytest.mark.parametrize("scale", ["smoke", "desk"])
def test_ratios_of_tokens_and_sizes_survive_the_mapping(scale):
    found = open_plan(ROOT, scale).jobs
    models = {
        name.removeprefix("concepttok_"): found[f"tokenizer/{name}"].spec["model"]
        for name in ("concepttok_bb64", "concepttok_bl32", "concepttok_bl64", "concepttok_bl128", "concepttok_ss64")
        if f"tokenizer/{name}" in found
    }
    tokens = {name: model["latent_tokens"] for name, model in models.items()}
    assert tokens["bl128"] == 2 * tokens["bb64"]
    if scale != "smoke":  # which does without the others
        assert (tokens["bl32"], tokens["bl64"], tokens["ss64"]) == (tokens["bb64"] / 2, *2 * [tokens["bb64"]])
        small, base, large = (
            models["ss64"]["encoder"],
            models["bb64"]["encoder"],
            models["bl64"]["decoder"],
        )
        assert small["width"] * small["blocks"] < base["width"] * base["blocks"] < large["width"] * large["blocks"]


def test_claims_hold_in_print_as_their_file_says():
    assert len(CLAIMS) == 30
    relations = {"lt": operator.lt, "gt": operator.gt, "le": operator.le, "ge": operator.ge}
    for claim in CLAIMS:
        values = [published.lookup(PRINTED, *cell) for cell in claim.cells()]
        relation = {"increasing": "lt", "decreasing": "gt"}.get(claim.relation, claim.relation)
        holds = all(relations[relation](a, b) for a, b in zip(values, values[1:]))
        assert holds == claim.holds_in_print and isinstance(claim, Series) == (len(values) > 2), claim.id
        assert math.isclose(abs(values[-1] - values[0]), claim.margin, abs_tol=1e-9), claim.id


def test_claims_find_their_numbers_but_those_of_cited_rows(paper):
    _, found = paper
    without = {cell["row"] for cell in found["claims/concepttok"].spec["cells"] if "artifacts" not in cell}
    assert without == CITED
    open_claims = [claim for claim in CLAIMS if not CITED & {row for _, row, _ in claim.cells()}]
    assert len(open_claims) == 23


def test_what_is_not_the_papers_says_so(paper):
    project, _ = paper
    own = [table for table in project.papers["concepttok"].tables.values() if table.own]
    assert len(own) == 8 and all(table.note.startswith("This table is not the paper's") for table in own)
