"""Studies: mistakes are named with their key; a study never mixes generators; of too few nothing is made."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from tesserae.config.project import read_project
from tesserae.config.shown import printed_cells
from tesserae.config.shown_studies import wrong_studies
from tesserae.config.studies import Study
from tesserae.config.tables import read_printed
from tesserae.correlating import LEAST
from tesserae.workflow.graph.studies import candidates
from tesserae.workflow.graph.whole import jobs
from tests.conftest import ROOT

FILE = Path("config/papers/comptok.yaml")
FID = {"column": "gFID", "artifact": "metrics/{generator}-cfg", "value": "fid"}
RFID = {"column": "rFID", "artifact": "reconstruction/{tokenizer}", "value": "rfid"}
SIT = {"title": "SiT-B", "table": "Table 1", "generator": "sit_b_joint", "against": FID, "predictors": {"rfid": RFID}}
PRINTED = {"title": "x", "table": "Table 1", "against": {"column": "gFID"}, "predictors": {"mc": {"column": "MC"}}}


@pytest.fixture(scope="module")
def smoke():
    return read_project(ROOT, "smoke")


def wrong(project, **study) -> str:
    """What is said of a study of CompTok's."""
    paper = project.papers["comptok"].model_copy(update={"studies": {"it": Study.model_validate(study)}})
    printed = printed_cells(read_printed(ROOT, paper, FILE))
    (error,) = wrong_studies(paper, FILE, printed, project.every_tokenizer, project.every_generator)
    return str(error)


@pytest.mark.parametrize(
    ("change", "key", "remedy"),
    [
        ({"table": "Table 9"}, "studies.it.table: config/published/comptok.csv has no 'Table 9'", "one of Appendix A"),
        (
            {"generator": "sit_b_jiont"},
            "studies.it.generator: there is no generator recipe 'sit_b_jiont'",
            "sit_b_joint",
        ),
        ({"against": FID | {"column": "FID"}}, "studies.it.against.column: Table 1 has no column 'FID'", "gFID"),
        (
            {"against": FID | {"artifact": "metrics/{row}"}},
            "studies.it.against.artifact: 'metrics/{row}'",
            "{tokenizer}",
        ),
        ({"against": FID | {"artifact": "metrics/x"}}, "studies.it.against.artifact: 'metrics/x'", "{tokenizer}"),
        ({"against": FID | {"artifact": "metrics/{"}}, "studies.it.against.artifact: 'metrics/{'", "{tokenizer}"),
        ({"against": FID | {"artifact": "tokens/{tokenizer}"}}, "has no number that can be correlated", "metrics"),
        ({"against": FID | {"value": "fud"}}, "studies.it.against.value: the stage metrics has no number 'fud'", "fid"),
        (
            {"predictors": {"rfid": RFID | {"r": {"row": "r", "column": "rFID"}}}},
            "studies.it.predictors.rfid.r: Table 1 prints nothing at 'r', 'rFID'",
            "a row and a column",
        ),
    ],
)
def test_a_mistake_is_named_with_its_key(smoke, change, key, remedy):
    text = wrong(smoke, **(SIT | change))
    assert key in text and remedy in text.partition("remedy: ")[2]


def test_tokenizers_alone_have_no_generator(smoke):
    said = {key: value for key, value in SIT.items() if key != "generator"} | {"tokenizers": ["detok_sb_joint"]}
    assert "'metrics/{generator}-cfg' is to have one of tokenizer in braces" in wrong(smoke, **said)
    assert "no tokenizer recipe 'jiont'" in wrong(smoke, **(said | {"tokenizers": ["jiont"], "against": RFID}))


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (SIT | {"tokenizers": ["detok_sb_joint"]}, "not both"),
        (PRINTED | {"against": FID}, "against: a study of printed cells.* has no artifact"),
        (SIT | {"against": {"column": "gFID"}}, "against: a study of these has an artifact"),
        (SIT | {"predictors": {}}, "at least 1"),
        (SIT | {"predictors": {"psnr": RFID}}, "'rfid', 'avgig' or 'mc'"),
    ],
)
def test_a_study_is_of_printed_or_of_measured_numbers(said, why):
    with pytest.raises(ValidationError, match=why):
        Study.model_validate(said)


@pytest.fixture(scope="module")
def shown(smoke):
    return {f"metrics/{name}-cfg" for name in smoke.every_generator}


def test_a_generator_that_nothing_shows_is_in_no_study(smoke, shown):
    study = Study.model_validate(SIT)
    names = {row.generator for row in candidates(smoke, study, shown)}
    fewer = candidates(smoke, study, shown - {"metrics/sit_b_joint-cfg"})
    assert names - {row.generator for row in fewer} == {"sit_b_joint"}


def test_tokenizers_of_one_study_share_their_generator(smoke, shown):
    """All that its recipe says but the tokenizer, so that an edit of one recipe takes it out of the study."""
    study = Study.model_validate(SIT)
    names = [row.generator for row in candidates(smoke, study, shown)]
    assert {"sit_b_joint", "sit_b_sd_vae", "sit_b_gamma4"} <= {*names}
    assert all(name.startswith("sit_b_") for name in names)
    longer = dict(smoke.every_generator)
    leaves = longer["sit_b_baseline"].leaves
    other = leaves | {"training.epochs": leaves["training.epochs"]._replace(value=7)}
    longer["sit_b_baseline"] = replace(longer["sit_b_baseline"], leaves=other)
    left = [row.generator for row in candidates(replace(smoke, every_generator=longer), study, shown)]
    assert {*names} - {*left} == {"sit_b_baseline"}
    elsewhere = replace(smoke, every_generator={})  # the paper is not run
    assert candidates(elsewhere, study, shown) == []
    mar = candidates(smoke, Study.model_validate(SIT | {"generator": "mar_b_joint"}), shown)
    assert "mar_b_system" not in [row.generator for row in mar]  # another head, more epochs


def test_images_of_one_study_have_one_side(smoke, shown):
    of_tatok = Study.model_validate(SIT | {"generator": "maskgit_tatok_b56"})
    sides = {smoke.every_tokenizer[row.tokenizer]["image_size"].value for row in candidates(smoke, of_tatok, shown)}
    assert sides == {336}


def test_of_too_few_tokenizers_nothing_is_made(smoke):
    """Whoever runs CompTok alone does not train all other papers' generators for a number that says nothing."""
    found = [job for job in jobs(smoke).values() if job.stage == "correlations" and "tokenizers" in job.spec]
    for job in found:
        names = {one["name"] for one in job.spec["tokenizers"]}
        assert bool(job.inputs) == (len(names) >= LEAST) and not names & job.spec["left_out"].keys()
        assert all(job.spec["left_out"].values())
    assert {bool(job.inputs) for job in found} == {True, False}
