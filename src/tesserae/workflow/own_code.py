"""Whose code runs: a project's own, or that of another folder.

An environment names the folder that it was made in. Copied with its project, it still runs the code over there, and
what one edits here changes nothing: plans would be current that are not, and manifests name a commit of code that
never ran. So every way in asks first.
"""

import sys
from pathlib import Path

from tesserae.config.errors import ConfigError
from tesserae.lineage.fingerprint import PACKAGE, SOURCE


def check(root: Path) -> None:
    """Raise ConfigError if the project in `root` has a package of its own and another one was imported.

    A project folder without the package uses the installed one.
    """
    own, runs = root / "src" / PACKAGE, SOURCE / PACKAGE
    if not (own / "__init__.py").is_file() or own.samefile(runs):
        return
    raise ConfigError(
        own,
        "",
        f"the code of this project would not run, but that in {runs}: the environment {sys.prefix} was made there, or "
        "was copied or moved with a project",
        f"`make environment` in {root}, then use {root / '.venv'}; in an environment of your own, "
        "`python -m pip install --no-deps --editable .` there, or PYTHONPATH=src",
    )
