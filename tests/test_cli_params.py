"""`tesserae params`: the sizes that ConceptTok prints, explained part by part."""

import json

import pytest
from click.testing import CliRunner

from tesserae.cli.params import counted
from tesserae.cli.params import params as command
from tesserae.config.errors import ConfigError
from tesserae.config.project import Project, read_project
from tesserae.workflow.graph.job import Job
from tesserae.workflow.graph.whole import jobs
from tests.conftest import ROOT

CLIP = 123_650_304


@pytest.fixture(scope="module")
def paper() -> tuple[Project, dict[str, Job]]:
    """The project at the paper's scale, and its plan."""
    project = read_project(ROOT, "paper")
    return project, jobs(project)


def ask(*arguments: str, scale: str):
    return CliRunner().invoke(command, arguments, obj={"root": ROOT, "scale": scale})


def test_the_printed_316_million_are_these(paper):
    size = counted(*paper, "concepttok_bb64")
    assert size["parts"] == {
        "latent tokens": 49_152,
        "encoder": 85_944_640,
        "text projection and positions (encoder)": 649_728,
        "decoder": 85_946_196,
        "concept head": 18_898_944,
        "codebook": 524_288,
    }
    assert size["frozen"] == {"text encoder (clip, frozen)": CLIP}
    assert (size["trained"], size["total"]) == (192_012_948, 315_663_252)
    assert size["training"] == {"discriminator": 1_909_889}


@pytest.mark.parametrize(
    ("recipe", "trained", "frozen"),
    [
        ("concepttok_ss64", 65_224_084, CLIP),
        ("concepttok_bb64_baseline", 172_464_276, 0),
        ("concepttok_bb64_text", 173_114_004, CLIP),
        ("concepttok_bl32", 409_482_900, CLIP),
        ("concepttok_bl64", 409_564_820, CLIP),
        ("concepttok_bl128", 409_728_660, CLIP),
        ("titok_bl64", 390_016_148, 0),
        ("titok_bl128", 390_179_988, 0),
        ("siglip_sae", 37_774_080, 0),
        ("llamagen_b_bl32", 98_330_880, 0),
        ("llamagen_b_bl64", 98_355_456, 0),
        ("llamagen_b_bl128", 98_404_608, 0),
        ("llamagen_xl_bl128", 753_893_120, 0),
    ],
)
def test_all_sizes_are_the_published_ones(paper, recipe, trained, frozen):
    size = counted(*paper, recipe)
    assert (size["trained"], size["total"]) == (trained, trained + frozen)
    assert size["trained"] == sum(size["parts"].values())


def test_both_sizes_are_shown_beside_what_is_printed():
    said = ask("concepttok_bb64", scale="smoke").output
    assert "scale paper" in said and "scale smoke" in said
    assert "315,663,252" in said and "In print: 316 million (concepttok, Table 6, B-B-64, Param.)" in said
    found = json.loads(ask("--json", "concepttok_bb64", scale="smoke").output)
    assert {(one["table"], one["column"], one["printed"]) for one in found["printed"]} == {
        ("Table 1", "Tokenizer Param.", "316"),
        ("Table 6", "Param.", "316"),
    }
    small = found["sizes"]["smoke"]["total"]
    assert f"{small:,}" in said and small < 30e6


def test_what_cannot_be_counted_is_said(paper):
    with pytest.raises(ConfigError, match=r"one of .*concepttok_bb64"):
        counted(*paper, "concepttok_xx")
    project = read_project(ROOT, "pocket")
    assert counted(project, {}, "titok_bl64") == {"omitted": "at paper and released"}
    unknown = ask("concepttok_xx", scale="paper")
    assert unknown.exit_code == 1 and "no such recipe" in unknown.output
