"""What COMiT's file shows: published numbers and claims, tables checked against the recipes, policies, own tables."""

import math
import operator
import re
from pathlib import Path

import pytest

from tesserae.config.claims import Series, read_claims
from tesserae.config.errors import ConfigError
from tesserae.config.project import read_project
from tesserae.config.published import read
from tesserae.stages.settings import settings
from tesserae.stages.sizes import sizes
from tesserae.workflow.graph.whole import jobs
from tests.config.test_config import edit
from tests.conftest import ROOT

FILE = "papers/comit.yaml"
PRINTED = read(ROOT / "config/published/comit.csv")
CLAIMS = read_claims(ROOT, Path("config/published/comit.claims.yaml"))
RELATIONS = {"lt": operator.lt, "gt": operator.gt, "le": operator.le, "ge": operator.ge}
# Printed in the text and shown in no table: most are constants of the network, of the data or of the cluster.
IN_WORDS = {"Text"}


@pytest.fixture(scope="module")
def paper():
    project = read_project(ROOT, "pocket")
    return project.papers["comit"], jobs(project)


def printed(table: str, row: str, column: str) -> float:
    (line,) = [line for line in PRINTED if (line["table"], line["row"], line["column"]) == (table, row, column)]
    return line["value"]


# ---- published ----------------------------------------------------------------------------------------------------


def test_all_printed_numbers_are_there():
    assert len(PRINTED) == 285
    blank = [line for line in PRINTED if math.isnan(line["value"])]
    words = [line for line in blank if line["note"].startswith("text cell")]
    assert (len(words), len(blank)) == (22, 35)  # Table 3's orders and Table 5's words; and what is only plotted
    assert printed("Table 1", "COMiT-B (SREPA yes)", "ImageNet100 (top-1)") == 82.91
    assert printed("Table 4", "FlexTok (d18-d28)", "#params") == 2500


def test_claims_hold_in_print_with_their_margins():
    assert len(CLAIMS) == 28
    open_ = [claim.id for claim in CLAIMS if claim.holds_in_print is None]
    assert open_ == ["comit-c27"]  # only plotted
    for claim in CLAIMS:
        if claim.id in open_:
            continue
        values = [printed(*cell) for cell in claim.cells()]
        relation = {"increasing": "lt", "decreasing": "gt"}.get(claim.relation, claim.relation)
        assert all(RELATIONS[relation](a, b) for a, b in zip(values, values[1:])) and claim.holds_in_print, claim.id
        assert isinstance(claim, Series) == (len(values) > 2)
        assert abs(values[-1] - values[0]) == pytest.approx(claim.margin, abs=1e-9), claim.id


def test_every_claim_finds_its_numbers(paper):
    _, found = paper
    cells = found["claims/comit"].spec["cells"]
    assert {cell.get("reason", "at desk") for cell in cells} <= {"at desk", "at paper and released"}
    assert len(cells) == len({cell for claim in CLAIMS for cell in claim.cells()})


def test_every_table_and_figure_is_shown(paper):
    shown, _ = paper
    sources = {table.source for table in shown.tables.values() if not table.own}
    assert sources == {line["table"] for line in PRINTED} - IN_WORDS
    titles = " ".join(figure.title for figure in shown.figures.values())
    for number in ("2", "3", "4", "5(a)", "5(b)", "6", "7", "8", "9", "10"):
        assert re.search(rf"\b{re.escape(number)}(?!\d)", titles), number
    assert "bottleneck" in shown.figures


# ---- settings -----------------------------------------------------------------------------------------------------


def measured(found, artifact: str, value: str) -> float:
    job = found[artifact]
    numbers = settings(job.spec) if job.stage == "settings" else sizes(job.spec["module"], job.spec["model"])
    return numbers[value]


@pytest.mark.parametrize("name", ["table_5", "table_6"])
def test_tables_of_hyper_parameters_are_those_of_the_recipes(paper, name):
    shown, found = paper
    table, checked = shown.tables[name], 0
    for heading, column in table.columns.items():
        for row in table.rows if column.rows is None else ():
            value = measured(found, column.of(row), column.value)
            wanted = printed(table.source, table.rows[row], heading)
            if (row, heading) == ("comit_xl", "Batch size"):
                wanted *= printed(table.source, table.rows[row], "Gradient accumulation steps")
            assert value == wanted, (row, heading)
            checked += 1
    assert checked == {"table_5": 66, "table_6": 12}[name]


def test_words_of_table_5_are_what_recipes_say():
    recipe = read_project(ROOT, "paper").tokenizers["comit_b"].typed
    assert recipe.levels == [8, 8, 8, 5, 5, 5] and recipe.training.decay == "square_root"
    assert recipe.training.betas == [0.9, 0.999] and recipe.training.weight_decay == 0
    words = {line["note"].partition(";")[0] for line in PRINTED if line["note"].startswith("text cell")}
    assert {"text cell: square root", "text cell: [8, 8, 8, 5, 5, 5]", "text cell: logitnormal"} <= words


def test_a_policy_is_what_its_row_says(paper):
    shown, found = paper
    rows, policies = shown.tables["table_3"].rows, shown.measures.policies
    assert len(rows) == 7 and rows.keys() <= policies.keys()
    for key, label in rows.items():
        policy = policies[key]
        whole, crops, order = re.fullmatch(r"global (yes|no), (\d+) crops?, ordering (.+)", label).groups()
        assert (policy.whole, policy.crops) == (whole == "yes", int(crops)), key
        assert {"-": "global", "Raster-scan": "raster"}.get(order, order.lower()) == policy.order
        assert found[f"settings/policy-{key}"].spec == {"crops": policy.crops, "whole": policy.whole}
    for stage, name in (("looks", "comit_b-raster_whole"), ("probe_tokens", "comit_b-classes-raster_whole")):
        assert found[f"{stage}/{name}"].spec["policy"] == policies["raster_whole"].model_dump()


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ({"order": "raster", "crops": 10, "whole": False}, "10 crops in the order raster, and there are 9"),
        ({"order": "adaptive", "crops": 11, "whole": True}, "11 crops in the order adaptive, and there are 10"),
        ({"order": "global", "crops": 1, "whole": False}, "without the whole image"),
    ],
)
def test_a_policy_that_cannot_be_is_refused_where_it_is_listed(project, policy, words):
    edit(project, FILE, lambda c: c["measures"]["policies"].update(mine=policy))
    with pytest.raises(ConfigError, match=f"mine: .*{words}") as caught:
        read_project(project)
    assert caught.value.key == "measures.policies"


def test_what_does_not_look_at_crops_is_looked_at_in_one_way(project):
    def change(paper: dict) -> None:
        paper["tables"]["own_a"]["columns"]["PSNR"]["artifacts"] = {"raster": "looks/flextok_d12_d12-raster"}

    edit(project, FILE, change)
    with pytest.raises(ConfigError, match="there is no artifact 'looks/flextok_d12_d12-raster'"):
        jobs(read_project(project, "smoke"))


def test_steps_and_guidance_are_swept_around_those_of_the_scale(paper):
    _, found = paper
    job = found["drawing_sweep/comit_b"]
    own = found["tokenizer/comit_b"].spec["model"]["sampling"]
    assert (job.spec["at_steps"], job.spec["at_guidance"]) == (own["steps"], own["guidance"])
    assert job.spec["curve_points"] == 2 and job.origins["steps"].endswith("measures.drawing_sweep.steps")


def test_a_scale_can_leave_out_single_artifacts_of_a_recipe_that_it_runs(project):
    def change(scale: dict) -> None:
        scale["omit"] += [{"reason": "at desk", "artifacts": ["probe/comit_b-*-random*", "looks/comit_b-adaptive"]}]

    edit(project, "scales/pocket.yaml", change)
    found = jobs(read_project(project, "pocket"))
    missing = {(cell["row"], cell["column"], cell["reason"]) for cell in found["table/comit_table_3"].spec["missing"]}
    tasks = ("IN100 top-1", "MSCOCO top-5", "VG top-1")
    wanted = {(row, task, "at desk") for row in ("random", "random_whole") for task in tasks}
    assert wanted <= missing and not any(column in ("Global crop", "# Crops") for _, column, _ in missing)
    missing = {(cell["row"], cell["column"]) for cell in found["table/comit_own_a"].spec["missing"]}
    assert ("adaptive", "rFID") in missing and ("raster", "rFID") not in missing
    assert "looks/comit_b-adaptive" not in found and "looks/comit_b-raster" in found
    assert "probe_tokens/comit_b-classes-random" not in found and "probe/comit_b-classes" in found
    edit(project, "scales/pocket.yaml", lambda c: c["omit"][-1].update(artifacts=["prope/comit_b-*"]))
    with pytest.raises(ConfigError, match=r"'prope/comit_b-\*' begins with no stage"):
        read_project(project, "pocket")


# ---- what qualifies the prose ---------------------------------------------------------------------------------------


def test_published_cells_that_qualify_the_prose_are_said_below_their_table(paper):
    shown, _ = paper
    vg, coco = (
        printed("Table 4", row, column) for row, column in (("COMiT-B", "VG top-1"), ("COMiT-XL", "MSCOCO top-5"))
    )
    flextoks = [printed("Table 4", f"FlexTok (d{sizes})", "VG top-1") for sizes in ("12-d12", "18-d18", "18-d28")]
    assert vg < min(flextoks)
    ahead = coco - printed("Table 4", "FlexTok (d18-d28)", "MSCOCO top-5")
    for text in (shown.tables["table_4"].note, " ".join(shown.contradictions_at("table_4"))):
        assert f"{vg:.2f}" in text and f"{coco:.2f}" in text and f"{ahead:.2f}" in text
    quoted = [printed("Table 4", f"TiTok-{size}", "IN1k rFID") for size in "LBS"]
    quoted += [printed("Table 4", f"SelfTok ({tokens} tokens)", "IN1k PSNR") for tokens in (512, 1024)]
    assert all(f"{number:.2f}" in shown.tables["table_4"].note for number in quoted)


def test_what_is_not_the_papers_says_so(paper):
    shown, _ = paper
    own = [table for table in shown.tables.values() if table.own]
    assert len(own) == 5 and all(table.note.startswith("This table is not the paper's") for table in own)
