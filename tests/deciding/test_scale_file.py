"""The change of a scale's file: seeds alone, with all comments, in a form that git and patch take."""

import shutil
import subprocess

import pytest
import yaml

from tesserae.deciding.scale_file import difference, with_seeds
from tests.conftest import ROOT

ONE = """# A scale.
scale: desk   # its name
seeds: 3                # three of everything
omit: []  # nothing
"""
FLOW = 'scale: desk\nseeds: {default: 3, "sit_*": 5, mar: 8}  # why\nomit: []\n'
BLOCK = """scale: desk
seeds:
    default: 3      # a night
    # what Table 1 needs
    mar: 8          # as it is dear
    "sit_*": 5
# after it
omit: []
"""


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        (ONE, {"default": 3, "sit": 12, "mar": 5}),
        (FLOW, {"default": 3, "sit_*": 5, "sit": 12, "mar": 5}),
        (BLOCK, {"default": 3, "sit_*": 5, "sit": 12, "mar": 5}),
        ("scale: desk\nomit: []\n", {"default": 1, "sit": 12, "mar": 5}),
        ("seeds: 3", {"default": 3, "sit": 12, "mar": 5}),
        ("seeds:\n  default: 2", {"default": 2, "sit": 12, "mar": 5}),
    ],
)
def test_the_recipes_stand_last_and_nothing_else_changes(text, seeds):
    found = yaml.safe_load(with_seeds(text, {"sit": 12, "mar": 5}))
    assert found == yaml.safe_load(text) | {"seeds": seeds}
    assert list(found["seeds"])[-2:] == ["sit", "mar"]


def test_comments_stay():
    assert with_seeds(ONE, {"sit": 12}).splitlines() == [
        "# A scale.",
        "scale: desk   # its name",
        "seeds: # three of everything",
        "  default: 3",
        "  sit: 12",
        "omit: []  # nothing",
    ]
    assert with_seeds(FLOW, {"mar": 12}) == FLOW.replace("mar: 8", "mar: 12")
    assert with_seeds(BLOCK, {"mar": 12}).splitlines()[1:8] == [
        "seeds:",
        "    default: 3      # a night",
        "    # what Table 1 needs",
        '    "sit_*": 5',
        "    mar: 12",
        "# after it",
        "omit: []",
    ]


def test_what_does_not_fit_on_a_line_gets_lines_of_its_own():
    found = with_seeds(FLOW, {f"a_recipe_with_a_name_{number}": 8 for number in range(5)})
    assert max(map(len, found.splitlines())) < 120 and len(yaml.safe_load(found)["seeds"]) == 8
    assert "seeds: # why\n  default: 3\n" in found


@pytest.mark.parametrize("scale", ["desk", "pocket"])
@pytest.mark.parametrize("command", [["git", "apply"], ["patch", "-p1", "--quiet"]])
def test_the_difference_can_be_applied(tmp_path, scale, command):
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    file = f"config/scales/{scale}.yaml"
    old = (ROOT / file).read_text(encoding="utf-8")
    new = with_seeds(old, {"detok_sb_joint": 8, "mar_b_joint": 5})
    (tmp_path / "config/scales").mkdir(parents=True)
    (tmp_path / file).write_text(old, encoding="utf-8")
    changes = difference(old, new, file)
    done = subprocess.run(command, cwd=tmp_path, input=changes, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / file).read_text(encoding="utf-8") == new
    changed = [line for line in changes.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    assert len(changed) <= 5 and yaml.safe_load(new)["seeds"]["detok_sb_joint"] == 8


def test_nothing_to_change_is_no_difference():
    assert difference(ONE, ONE, "config/scales/desk.yaml") == ""
