"""What a paper shows is held against what is measured, drawn and printed as soon as the configuration is read."""

import importlib
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tesserae.config.errors import ConfigError
from tesserae.config.figures import KINDS, module_of
from tesserae.config.files import read_yaml
from tesserae.config.project import read_project
from tesserae.config.registry import SECTIONS
from tesserae.config.shown import stated
from tesserae.config.stages import STAGES
from tesserae.stages.settings import settings
from tesserae.workflow.graph.recipes import settings_jobs
from tesserae.workflow.graph.whole import jobs
from tests.conftest import ROOT

DETOK, CONCEPTTOK, TATOK = (f"config/papers/{paper}.yaml" for paper in ("detok", "concepttok", "tatok"))
CLAIMS = "config/published/detok.claims.yaml"


def edited(project: Path, file: str, change) -> None:
    content = read_yaml(project / file, list if file.endswith(".claims.yaml") else dict)
    change(content)
    (project / file).write_text(yaml.safe_dump(content, sort_keys=False))


def column(content: dict, **changes) -> None:
    content["tables"]["table_1"]["columns"]["MAR-B w/ CFG FID"].update(changes)


def inputs(content: dict, figure: str, **groups) -> None:
    content["figures"][figure].update(inputs=groups)


def claim(content: list, **changes) -> None:
    """The first claim is about other numbers: of Table 1, the row `Joint noise`, unless `changes` say otherwise."""
    place = {"table": "Table 1", "row": "Joint noise", "column": "MAR-B w/ CFG FID"} | changes
    content[0].update(relation="lt", left=place, right=dict(place))
    for key in ("series", "correlate", "than"):
        content[0].pop(key, None)


FID = "tables.table_1.columns.MAR-B w/ CFG FID"


@pytest.mark.parametrize(
    "file, change, key, problem, remedy",
    [
        (DETOK, lambda c: column(c, value="fud"), f"{FID}.value", "stage metrics has no number 'fud'", "fid, is"),
        (DETOK, lambda c: column(c, values={"joint": "fud"}), f"{FID}.values.joint", "has no number 'fud'", "fid"),
        (DETOK, lambda c: column(c, artifact="denoising/x"), f"{FID}.artifact", "with numbers", "reconstruction"),
        (
            DETOK,
            lambda c: column(c, artifact="metric/x"),
            f"{FID}.artifact",
            "'metric/x' is not an artifact",
            "metrics",
        ),
        (DETOK, lambda c: column(c, artifact="metrics"), f"{FID}.artifact", "'metrics' is not an artifact", "<recipe>"),
        (DETOK, lambda c: column(c, artifacts={"joint": "tokens/x"}), f"{FID}.artifacts.joint", "'tokens/x'", "sizes"),
        (DETOK, lambda c: column(c, artifact="metrics/{rows}-cfg"), f"{FID}.artifact", "in braces", "{row}"),
        (DETOK, lambda c: column(c, artifact="metrics/{row-cfg"), f"{FID}.artifact", "in braces", "{row}"),
        (DETOK, lambda c: column(c, rows=["jiont"]), f"{FID}.rows.jiont", "no row with this key", "joint"),
        (DETOK, lambda c: column(c, values={"jiont": "fid"}), f"{FID}.values.jiont", "no row", "joint"),
        (
            CONCEPTTOK,
            lambda c: c["tables"]["table_5"]["columns"]["Value"]["values"].update(l2="loss_weights.l2"),
            "tables.table_5.columns.Value.values.l2",
            "settings/concepttok_bb64 has no number 'loss_weights.l2'",
            "loss_weights.mse",
        ),
        (
            DETOK,
            lambda c: c["figures"].update(table_1=c["figures"]["figure_4"]),
            "figures.table_1",
            "both would be called detok_table_1",
            "another key",
        ),
        (
            DETOK,
            lambda c: c["figures"]["figure_4"].update(draw="curves"),
            "figures.figure_4.draw",
            "no kind of figure named 'curves'",
            "guidance_curves",
        ),
        (
            DETOK,
            lambda c: inputs(c, "reconstructions", tokenizers={"images": "tokens/{row}"}),
            "figures.reconstructions.inputs.tokenizers.images",
            "images.npz of the stage reconstruction, not from an artifact of 'tokens'",
            "reconstruction/<recipe>",
        ),
        (
            DETOK,
            lambda c: inputs(c, "reconstructions", tokenizers={"images": "reconstruction/{row}", "image": "sae/{row}"}),
            "figures.reconstructions.inputs.tokenizers.image",
            "no such role",
            "images",
        ),
        (
            DETOK,
            lambda c: inputs(c, "figure_4", **{"MAR-B": {"metrics": "metrics/mar_b_{row}-cfg"}}),
            "figures.figure_4.inputs.MAR-B",
            "needs the role 'search'",
            "search: search/<recipe>",
        ),
        (
            DETOK,
            lambda c: inputs(c, "figure_4", **{"MAR-B": {"search": "search/mar_b_{recipe}"}}),
            "figures.figure_4.inputs.MAR-B.search",
            "in braces",
            "{row}",
        ),
        (DETOK, lambda c: inputs(c, "figure_4"), "figures.figure_4.inputs", "a group for each panel", "search"),
        (
            DETOK,
            lambda c: inputs(c, "reconstructions", networks={"images": "reconstruction/{row}"}),
            "figures.reconstructions.inputs",
            "the one group 'tokenizers', found networks",
            "{tokenizers: {images: reconstruction/<recipe>}}",
        ),
        (
            DETOK,
            lambda c: c["figures"]["figure_4"].update(series={"one": ["joint"]}),
            "figures.figure_4.series",
            "does not take it",
            "sweep",
        ),
        (
            DETOK,
            lambda c: c["figures"]["figure_2b"]["x"]["values"].update(gama5=5.0),
            "figures.figure_2b.x.values.gama5",
            "no row with this key",
            "gamma4",
        ),
        (
            DETOK,
            lambda c: c["figures"]["figure_4"].update(published="Table 9"),
            "figures.figure_4.published",
            "no table 'Table 9'",
            "Table 1",
        ),
        (
            TATOK,
            lambda c: c["figures"]["errors"].update(published_rows=["RQ-VAE"]),
            "figures.errors.published_rows",
            "'Table 1' has no row 'RQ-VAE'",
            "RQ-VAE + RQ-Transformer",
        ),
        (
            TATOK,
            lambda c: c["figures"]["errors"].update(published_rows=["Hita + MaskGIT-ViT"]),
            "figures.errors.published_rows",
            "is a row of ours too",
            "leave it out",
        ),
        (
            TATOK,
            lambda c: c["figures"]["errors"].update(published=None),
            "figures.errors.published_rows",
            "of no table",
            "`published`",
        ),
        (
            TATOK,
            lambda c: c["figures"]["scores"].update(published_rows=["RQ-VAE + RQ-Transformer"]),
            "figures.scores.published_rows",
            "does not take it",
            "error_maps",
        ),
        (
            DETOK,
            lambda c: c.update(contradictions=[{"says": "2 is not 3.", "at": ["figure_a1", "tabel_1"]}]),
            "contradictions.0.at",
            "detok has no table or figure with the key 'tabel_1'",
            "one of table_1",
        ),
        (
            CLAIMS,
            lambda c: claim(c, table="Table 9"),
            None,
            "no table or figure named 'Table 9'",
            "Figure 4, Figure B.1",
        ),
        (CLAIMS, lambda c: claim(c, row="Joint nose"), None, "no row of Table 1 named 'Joint nose'", "Joint noise"),
        (CLAIMS, lambda c: claim(c, column="MAR FID"), None, "no column of Table 1 named 'MAR FID'", "w/o CFG FID"),
        (
            CLAIMS,
            lambda c: claim(c, table="Table A.1", row="S-B tokenizer", column="Blocks"),
            None,
            "no stage measures 'Blocks' of 'S-B tokenizer' in Table A.1",
            "Parameters",
        ),
    ],
)
def test_what_cannot_be_shown_is_refused_when_it_is_read(project, file, change, key, problem, remedy):
    edited(project, file, change)
    with pytest.raises(ConfigError) as caught:
        read_project(project)
    error = caught.value
    assert error.file == file and (key is None or error.key == key) and len(error.problems) == 1
    assert problem in error.problem and remedy in error.remedy


def test_all_problems_of_a_file_are_said_at_once(project):
    def change(content: dict) -> None:
        for key in ("gamma", "mask_ratio"):
            content["tokenizers"]["detok_sb"].pop(key)
        content["tokenizers"]["detok_sb"]["latent_channels"] = -1
        content["generators"]["sit_b"]["sampling"]["steps"] = 1
        content["figures"]["figure_4"].update(draw="curves")
        column(content, value="fud")

    edited(project, DETOK, change)
    with pytest.raises(ConfigError) as caught:
        read_project(project)
    assert [problem.key for problem in caught.value.problems] == [
        "tokenizers.detok_sb.latent_channels",
        "tokenizers.detok_sb.gamma",  # once, though fourteen recipes are built on it
        "tokenizers.detok_sb.mask_ratio",
        "generators.sit_b.sampling.steps",
        f"{FID}.value",
        "figures.figure_4.draw",
    ]
    assert all(f"{DETOK}: {problem.key}: " in str(caught.value) for problem in caught.value.problems)


def test_all_wrong_keys_of_other_files_are_said_at_once(project):
    edited(project, "config/config.yaml", lambda c: (c.pop("device"), c.pop("data"), c.update(scal="smoke")))
    with pytest.raises(ConfigError) as caught:
        read_project(project)
    assert sorted(problem.key for problem in caught.value.problems) == ["data", "device", "scal"]


def test_all_wrong_claims_and_all_wrong_names_of_a_scale_are_said_at_once(project):
    def change(content: list) -> None:
        content[0].update(relation="equals")
        content[1].pop("margin")
        content[2].update(id=content[3]["id"])

    edited(project, CLAIMS, change)
    with pytest.raises(ConfigError) as caught:
        read_project(project)
    assert [problem.problem for problem in caught.value.problems] == [
        "unknown relation 'equals'",
        "Field required",
        "an id of two claims",
    ]
    edited(project, CLAIMS, lambda c: c.clear())
    no_one = {"set": {}, "reason": "x"}
    omit = [{"recipes": ["nobody*"], "reason": "x"}]
    edited(
        project,
        "config/scales/pocket.yaml",
        lambda c: (c["exceptions"].update(a=no_one, b=no_one), c.update(omit=omit)),
    )
    with pytest.raises(ConfigError) as caught:
        read_project(project)
    assert [one.key for one in caught.value.problems] == ["exceptions.a", "exceptions.b", "omit.0.recipes: nobody*"]


def test_all_artifacts_that_nothing_makes_are_said_at_once(project):
    edited(
        project,
        DETOK,
        lambda c: (column(c, artifact="metrics/no"), inputs(c, "samples", generators={"samples": "metrics/none"})),
    )
    with pytest.raises(ConfigError) as caught:
        jobs(read_project(project))
    assert {(problem.file, problem.key, problem.problem) for problem in caught.value.problems} == {
        (DETOK, f"{FID}.artifact", "there is no artifact 'metrics/no'"),
        (DETOK, "figures.samples.inputs.generators.samples", "there is no artifact 'metrics/none'"),
    }


def test_an_artifact_that_nothing_makes_is_located_in_its_file_with_near_ones(project):
    other = {"joint": "metrics/mar_b_jont-cfg"}
    edited(project, DETOK, lambda c: column(c, artifacts=other))
    with pytest.raises(ConfigError) as caught:
        jobs(read_project(project))
    (problem,) = caught.value.problems
    assert (problem.file, problem.key) == (DETOK, f"{FID}.artifacts.joint")
    assert problem.remedy.startswith("such as metrics/mar_b_joint-cfg, ")


def test_a_misspelt_stage_is_said_once_with_the_one_that_was_meant(project):
    edited(project, DETOK, lambda c: column(c, artifact="metrcs/mar_b_{row}-cfg"))
    with pytest.raises(ConfigError) as caught:
        read_project(project)
    (problem,) = caught.value.problems
    assert (problem.file, problem.key) == (DETOK, f"{FID}.artifact")
    assert "'metrcs/mar_b_{row}-cfg' is not an artifact" in problem.problem
    assert problem.remedy.startswith("did you mean metrics/…? ")


@pytest.mark.parametrize("name", ["my data", "a/b", "..", ".hidden", "naïve+", ""])
def test_names_that_are_no_folders_of_results_are_refused(project, name):
    edited(project, "config/datasets.yaml", lambda c: c["datasets"].update({name: c["datasets"]["emoji"]}))
    with pytest.raises(ConfigError, match="should match pattern") as caught:
        read_project(project)
    assert caught.value.file == "config/datasets.yaml" and f"datasets.{name}" in caught.value.key


def test_a_file_of_printed_numbers_must_be_there(project):
    edited(project, DETOK, lambda c: c.update(published="config/published/no.csv"))
    with pytest.raises(ConfigError, match=r"published: no such file: .*no\.csv"):
        read_project(project)


def test_a_claim_can_be_about_a_number_of_any_stage_that_measures(project):
    """Of a sparse autoencoder, of settings and of concept pictures as well."""
    own = {"table": "Own table G", "row": "ConceptTok-B-L-128", "column": "by chance"}
    edited(project, "config/published/concepttok.claims.yaml", lambda c: claim(c, **own))
    job = jobs(read_project(project, "smoke"))["claims/concepttok"]
    cell = next(cell for cell in job.spec["cells"] if cell["table"] == "Own table G")
    assert cell["artifacts"] == ["concept_examples/concepttok_bl128"] and cell["value"] == "chance"
    assert job.reads["concept_examples/concepttok_bl128"] == ("metrics.json",)


def test_every_kind_of_figure_has_a_module_and_reads_what_its_stage_writes():
    modules = {file.stem for file in (ROOT / "src/tesserae/reporting/figures").glob("*.py")} - {"__init__"}
    assert modules == KINDS.keys()
    for name, kind in KINDS.items():
        assert callable(importlib.import_module(module_of(name)).draw)
        assert all(set(source.files) <= set(STAGES[source.stage].files) for source in kind.roles.values())


def test_the_numbers_of_a_recipe_are_known_before_they_are_counted():
    project = read_project(ROOT, "paper")
    recipes = {name: found for section in SECTIONS for name, found in getattr(project, section).items()}
    recipes |= project.every_tokenizer
    others = {f"probe-{name}" for name in project.probes.probes} | {"learnability"}
    others |= {f"policy-{name}" for paper in project.papers.values() for name in paper.measures.policies}
    for job in settings_jobs(project):
        assert job.recipe in others or settings(job.spec).keys() <= set(stated(recipes[job.recipe])), job.recipe


def test_the_numbers_of_all_other_stages_have_names():
    assert {name for name, stage in STAGES.items() if stage.numbers and not stage.values} == {"settings"}
    assert all(stage.numbers for stage in STAGES.values() if stage.values)


def test_a_stage_that_does_not_say_its_numbers_can_be_shown(project, monkeypatch):
    monkeypatch.setitem(STAGES, "metrics", replace(STAGES["metrics"], values=()))
    edited(project, DETOK, lambda c: column(c, value="fud"))
    read_project(project)
