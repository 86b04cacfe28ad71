"""Two numbers' measures side by side."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tesserae.cli.main import main
from tesserae.lineage.compare import compare
from tesserae.lineage.targets import TraceError
from tests.lineage.results import SCALE, fill, seeds

GUIDED = "detok_table_1[Joint noise, MAR-B w/ CFG FID]"
UNGUIDED = "detok_table_1[Joint noise, MAR-B w/o CFG FID]"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Results of two scales, one with twice the samples and another guidance."""
    root = tmp_path_factory.mktemp("compared")
    fill(root)
    seeds(root)
    fill(root, "desk")
    for file in (root / "results/desk").glob("metrics/*/metrics.json"):
        content = json.loads(file.read_text())
        content["measure"] |= {"samples": 1000, "guidance": 3.0, "sampler": {"steps": 16}}
        file.write_text(json.dumps(content))
    return root


def asked(root: Path, *arguments: str):
    return CliRunner().invoke(main, ["--project", str(root), "--scale", SCALE, "compare", *arguments])


def test_two_cells_of_one_measure(made):
    result = asked(made, GUIDED, UNGUIDED)
    assert result.exit_code == 0, result.output
    assert result.output.rstrip().endswith("same measure") and "≠" not in result.output
    assert "extractor" in result.output and "12.5" in result.output and "20.125" in result.output


def test_numbers_of_two_scales_and_which_fields_differ(made):
    result = asked(made, GUIDED, f"desk:{GUIDED}", "--json")
    told = json.loads(result.output)
    assert result.exit_code == 1 and not told["same"]
    assert told["differing"] == ["samples", "sampler.steps"]  # a search chooses guidance for each number
    assert [told[side]["scale"] for side in "ab"] == [SCALE, "desk"]
    fields = {field["name"]: (field["a"], field["b"], field["differs"]) for field in told["fields"]}
    assert fields["samples"] == (500, 1000, True) and fields["guidance"] == (1.5, 3.0, True)
    assert fields["extractor"] == ("embedded", "embedded", False)
    shown = asked(made, GUIDED, f"desk:{GUIDED}")
    assert shown.exit_code == 1
    assert "differ in samples, sampler.steps; each number has a guidance of its own" in " ".join(shown.output.split())


def test_only_what_a_search_chose_differs(made):
    found = compare(made, SCALE, "metrics/mar_joint-cfg", "metrics/mar_joint-cfg.seed2")
    assert found.differing == [] and [field.name for field in found.fields if field.differs] == ["guidance"]
    assert (found.a.name, found.a.measured) == ("metrics/mar_joint-cfg", None)


def test_a_file_names_its_scale_itself(made):
    found = compare(made, SCALE, f"{made}/results/desk/metrics/mar_joint-cfg/metrics.json", GUIDED)
    assert (found.a.scale, found.b.scale) == ("desk", SCALE)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("detok_table_1", "has many numbers: name one"),
        ("tokenizer/detok", "tokenizer/detok holds no numbers with a measure"),
        ("detok_table_1[Joint, nothing]", "there is no cell"),
        ("paper:metrics/mar_joint-cfg", "there is no 'paper:metrics/mar_joint-cfg' at scale"),
        ("detok_seeds[left out, w/ CFG FID]", "nothing is measured there"),
    ],
)
def test_what_has_no_measure_is_refused(made, target, expected):
    with pytest.raises(TraceError, match=r".") as caught:
        compare(made, SCALE, target, GUIDED)
    assert expected in str(caught.value)
    result = asked(made, target, GUIDED)
    assert result.exit_code == 2 and expected in " ".join(result.output.split())
