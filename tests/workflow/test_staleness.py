"""What an edit makes stale: exactly the jobs that depend on it, by their fingerprints."""

import functools
import re

import pytest

from tesserae.config.stages import STAGES
from tesserae.workflow.graph.job import upstream
from tesserae.workflow.plan import read_plan
from tests.conftest import ROOT

SHOWING = {name for name, stage in STAGES.items() if stage.shows}
DETOK = "src/tesserae/tokenizers/detok.py"


@functools.cache
def unedited(scale: str = "pocket") -> dict[str, str]:
    """The fingerprints of a copy before any edit: those of the project itself, wherever it lies."""
    plan = read_plan(ROOT, scale)
    return {name: plan.fingerprint(job) for name, job in plan.jobs.items()}


def test_a_copy_has_the_fingerprints_of_the_project(copy):
    assert copy.fingerprints() == unedited()


def changed(copy, *edits: tuple[str, str, str], scale: str = "pocket") -> set[str]:
    before = unedited(scale)
    for edit in edits:
        copy.edit(*edit)
    after = copy.fingerprints(scale)
    assert before.keys() == after.keys()
    return {name for name in before if before[name] != after[name]}


def stages(jobs: set[str]) -> set[str]:
    return {job.split("/")[0] for job in jobs}


SHOWN = {
    "table/detok_table_1",
    "figure/detok_figure_4",
    "figure/detok_samples",
    "claims/detok",
    "notebook/detok",
    "page/detok",
    "lineage/detok",
    "forecast/paper",  # it counts the paper scale's plan, and is calibrated on the published file
    "report/index",
}


@pytest.mark.parametrize(
    "edit",
    [
        (DETOK, "class DeTok(nn.Module):\n", "class DeTok(nn.Module):\n    # a comment\n"),
        ("src/tesserae/training/loop.py", '"""The one training loop', '"""Our one training loop'),
        ("src/tesserae/workflow/runner.py", "raise Refused(", "raise  Refused("),
        ("config/papers/detok.yaml", "# Eq. 4", "# Equation 4"),
        ("config/scales/pocket.yaml", "mem_mb: 3000", "mem_mb: 4000"),
        ("config/config.yaml", "device: auto", "device: cpu"),
    ],
)
def test_what_means_nothing_makes_nothing_stale(copy, edit):
    assert changed(copy, edit) == set()


def test_a_loss_of_tokenizers(copy):
    found = changed(copy, ("src/tesserae/losses/adversarial.py", "0.5 * (F.relu", "0.4 * (F.relu"), scale="desk")
    expected = {"tokenizer", "sizes"} | SHOWING  # `sizes` builds every network, so its code is all of them
    while more := {name for name, stage in STAGES.items() if expected & stage.reads.keys()} - expected:
        expected |= more
    # What is asked of tokenizers that draw, of which none is trained against a discriminator.
    assert stages(found) == expected - {"looks", "drawing_sweep", "objectness"}


def test_the_sampler_of_mar_trains_nothing(copy):
    found = changed(copy, ("src/tesserae/generators/mar_sampler.py", "import torch\n", "import torch\n\nX = 1\n"))
    assert not {"tokenizer", "tokens", "generator", "dataset", "reference"} & stages(found)
    assert {job for job in found if job.startswith(("search_samples", "samples"))} and not any(
        "sit_b" in j for j in found
    )


# What shows a study of SiT-B and of MAR-B over tokenizers.
STUDIED = {
    *(f"correlations/{generator}" for generator in ("sit_b", "mar_b")),
    *(f"table/comptok_own_{letter}" for letter in "efg"),
    *(f"{page}/comptok" for page in ("claims", "notebook", "page", "lineage")),
}


def test_the_rate_of_one_recipe(copy):
    """At `paper` scale: the small ones state rates of their own."""
    before, recipe = unedited("paper"), "  sit_b_joint: {base: sit_b, tokenizer: detok_sb_joint"
    copy.edit("config/papers/detok.yaml", recipe, recipe + ", training: {lr: 1.0e-4}")
    after = copy.fingerprints("paper")
    # No other generator is trained alike any more: CompTok's study of those that are draws no samples of them.
    assert all(re.match(r"(samples|features|metrics)/sit_b_", name) for name in before.keys() - after.keys())
    found = {name for name, value in after.items() if before.get(name) != value} - STUDIED
    own = {f"{stage}/sit_b_joint" for stage in ("generator", "search_samples", "search")}
    own |= {f"{stage}/sit_b_joint-{kind}" for stage in ("samples", "features", "metrics") for kind in ("cfg", "nocfg")}
    assert {re.sub(r"-\dof\d$", "", job) for job in found} == own | SHOWN


def test_the_base_that_others_continue(copy):
    """All that goes on from it, and nothing beside."""
    base, recipe = "tokenizer/comptok_start", "  comptok_start: {base: comptok_plain"
    found = changed(copy, ("config/papers/comptok.yaml", recipe, recipe + ", training: {clip: 2.0}"))
    jobs = read_plan(ROOT, "pocket").jobs
    assert found == {name for name in jobs if base in upstream(jobs, [name])}
    assert {base, "tokenizer/comptok", "tokenizer/comptok_plain"} <= found
    assert not {"dataset/emoji-32", "teacher_features/lite2-emoji-32"} & found


def test_a_published_number(copy):
    line = re.search(
        r"^Table 1,.*Joint noise.*,5\.50,.*$", (copy.root / "config/published/detok.csv").read_text(), re.M
    )[0]
    found = changed(copy, ("config/published/detok.csv", line, line.replace("5.50", "5.51")))
    tables = {f"table/detok_{name}" for name in ("table_2", "table_3", "table_a1", "control")}  # all read the file
    assert found == SHOWN - {"figure/detok_samples"} | tables


def test_a_notebook(copy):
    assert changed(copy, ("notebooks/detok.ipynb", "The idea", "An idea")) == {
        "notebook/detok",
        "page/detok",
        "lineage/detok",
        "report/index",
    }


def test_a_plotting_style(copy):
    found = changed(copy, ("src/tesserae/reporting/style.py", "\nNEUTRAL = ", "\nSTYLE = 1\nNEUTRAL = "))
    assert stages(found) <= SHOWING and "figure/detok_figure_a1" in found


def test_one_kind_of_figure(copy):
    kind = ("src/tesserae/reporting/figures/qualitative.py", "\n\ndef plot(", "\nX = 1\n\n\ndef plot(")
    papers = ("detok", "concepttok", "tatok", "comptok", "comit")
    figures = {f"figure/{paper}_reconstructions" for paper in papers[:4]} | {"figure/comit_figure_7"}
    pages = {f"{page}/{paper}" for page in ("notebook", "page", "lineage") for paper in papers} | {"report/index"}
    assert changed(copy, kind) == figures | pages


def test_a_data_transform(copy):
    found = changed(copy, ("src/tesserae/data/transforms.py", "def center_crop", "x = 1\n\n\ndef center_crop"))
    assert "dataset/emoji-32" in found and "table/detok_table_1" in found and "tokenizer/detok_sb_joint" in found


def test_a_new_row_leaves_the_others_alone(copy):
    paper, before = "config/papers/detok.yaml", unedited()
    copy.edit(paper, "  detok_sb_gamma2:", "  detok_sb_latent5: {base: detok_sb, gamma: 5.0}\n  detok_sb_gamma2:")
    for kind in ("mar_b", "sit_b"):
        row = f"  {kind}_latent5: {{base: {kind}, tokenizer: detok_sb_latent5}}\n  {kind}_gamma2:"
        copy.edit(paper, f"  {kind}_gamma2:", row)
    assert copy.fingerprints() == before  # nothing shows them yet
    copy.edit(paper, "gamma4: gamma=4.0}", "gamma4: gamma=4.0, latent5: gamma=5.0}")
    copy.edit(paper, "latent: 3.0, gamma4: 4.0}}", "latent: 3.0, gamma4: 4.0, latent5: 5.0}}")
    after = copy.fingerprints()
    row = {f"{stage}/detok_sb_latent5" for stage in ("tokenizer", "tokens")} | {
        f"{stage}/{kind}_latent5" for stage in ("generator", "search_samples", "search") for kind in ("mar_b", "sit_b")
    }
    assert {job for job in after if after[job] != before.get(job)} - STUDIED == row | {
        *("figure/detok_figure_2b", "notebook/detok", "page/detok", "lineage/detok", "forecast/paper", "report/index")
    }
