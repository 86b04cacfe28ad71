"""Published weights of networks that are never trained: files in the folder that $TESSERAE_WEIGHTS names."""

import sys
from pathlib import Path
from typing import Any

FOLDER_VARIABLE = "TESSERAE_WEIGHTS"
AUDITED = "tesserae.weights"  # event of Python's audit hooks, with the file's path


def weights_file(folder: str | None, name: str, needs: str, remedy: str) -> Path:
    """The file of that name in the folder; None, or "", where the variable is not set.

    FileNotFoundError if it is not there, with what `needs` it ("concepts need SigLIP's weights") and the remedy.
    """
    path = Path(folder, name) if folder else None
    if path is None or not path.is_file():
        raise FileNotFoundError(f"{needs}, expected at {path or f'${FOLDER_VARIABLE}/{name}'}; {remedy}")
    sys.audit(AUDITED, str(path))  # whoever runs a stage notes which file it was
    return path


def read_by_timm(path: Path) -> dict[str, Any]:
    """Keywords of timm.create_model, with which it reads a file."""
    # DECISION: no checksums of these files are published; timm checks every name and shape.
    return {"pretrained": True, "pretrained_cfg_overlay": {"file": str(path)}}
