"""`tesserae --version`: what the package says of itself, anywhere and at once."""

import subprocess
import sys
import tomllib

from tests.conftest import ROOT

ASKED = """
import sys
from tesserae.cli.main import main
try:
    main(["--version"], prog_name="tesserae")
finally:
    print(*sorted({"numpy", "pandas", "pydantic", "snakemake", "torch"} & sys.modules.keys()))
"""


def test_the_version_is_said_without_a_project_and_without_the_libraries(tmp_path):
    asked = subprocess.run([sys.executable, "-c", ASKED], cwd=tmp_path, capture_output=True, text=True)
    written = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.splitlines() == [f"tesserae {written}", ""]
