"""Published weights: files that are not the project's, named with their hash in the manifests of what took them."""

import os
from pathlib import Path

FOLDER_VARIABLE = "TESSERAE_WEIGHTS"


def weights_file(name: str) -> Path | None:
    """Where a file of published weights lies on this machine; None if it is not here."""
    folder = os.environ.get(FOLDER_VARIABLE)
    file = Path(folder, name) if folder else None
    return file if file and file.is_file() else None
