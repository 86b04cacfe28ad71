"""One run on a machine as unlike a developer's as they come."""

import os
import subprocess
import sys

from tests.workflow.conftest import NO_STORE, Toys
from tests.workflow.test_unprivileged import POWERLESS


def test_a_run_by_nobody_from_an_archive_in_a_strange_place(toys: Toys):
    """No privileges, an empty environment, an ASCII locale, a home that cannot be written, files for their owner alone,
    a path with a space and a letter beyond ASCII, and no git, though DVC's folder says so.
    """
    root = toys.root / "élan vital"
    root.mkdir()
    for entry in [*toys.root.iterdir()]:
        if entry != root:
            entry.rename(root / entry.name)
    (root / ".dvc").mkdir()
    (root / ".dvc/config").write_text("[core]\n    analytics = false\n")
    environment = {
        **{"PATH": os.environ["PATH"], "PYTHONPATH": str(root / "src"), "HOME": "/proc/nowhere", "LC_ALL": "C"},
        **{"PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "TESSERAE_WARM": "off", "MLFLOW_TRACKING_URI": NO_STORE},
        "TESSERAE_CACHE": os.environ["TESSERAE_CACHE"],
    }

    def run(*arguments: str) -> None:
        command = ["sh", "-c", 'umask 077; exec "$@"', "sh", *POWERLESS, sys.executable, "-m", *arguments]
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True)
        said = done.stdout + done.stderr
        assert done.returncode == 0 and b"Traceback" not in said, said.decode(errors="replace")

    run("tesserae.cli.main", "--scale", "smoke", "reproduce", "dataset/emoji_few-32")
    Toys(root).version("dataset", 2)
    run("tesserae.stages.dataset", "emoji_few-32", "--scale", "smoke")
    assert Toys(root).manifest("dataset/emoji_few-32")["metrics"] == {"version": 2}
    assert list((root / ".tesserae/kept").rglob("*.json")) and not (root / "~").exists()
