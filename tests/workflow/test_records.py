"""What was made by hand counts as what its manifest says it is."""

import pytest

from tests.conftest import ROOT


@pytest.fixture
def made(copy):
    for name in ("workflow", "profiles"):
        (copy.root / name).symlink_to(ROOT / name)
    (copy.root / "Snakefile").symlink_to(ROOT / "Snakefile")
    from tests.workflow.test_runner import STAGE

    (copy.root / "src/tesserae/stages/dataset.py").write_text(STAGE)
    assert copy.python("-m", "tesserae.stages.dataset", "emoji-32").returncode == 0
    return copy


def planned(copy) -> str:
    done = copy.python(
        "-m",
        "snakemake",
        "-n",
        "--snakefile",
        str(copy.root / "Snakefile"),
        "--directory",
        str(copy.root),
        "--",
        "results/pocket/dataset/emoji-32/index.json",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_an_artifact_made_by_hand_is_current_until_something_changes(made):
    assert "Nothing to be done" in planned(made)
    made.edit("src/tesserae/stages/dataset.py", '"made"', '"made anew"')
    assert "Params have changed" in planned(made)
    made.edit("src/tesserae/stages/dataset.py", '"made anew"', '"made"')
    assert "Nothing to be done" in planned(made)
