"""A user whom the system does not know by name, or whose home cannot be written; and what users tell other programs.

Snakemake, DVC, matplotlib and Jupyter keep caches and settings below the home folder, and ask for the name of the user.
Where either is not to be had, as in many containers, they find it in the project folder instead. What can be written
stays where it is. What a user lets git or IPython do elsewhere is not for us: no number may depend on it.
"""

import atexit
import contextlib
import getpass
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(".tesserae/home")
# What would lead git to another repository than that of the folder in which it is asked.
ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE")
# What a user lets every Python, or every notebook, do first, and where notebooks would find another Python.
FIRST = ("PYTHONSTARTUP", "JUPYTER_PATH", "JUPYTER_CONFIG_PATH", "JUPYTER_CONFIG_DIR")
PLACES = {"XDG_CACHE_HOME": ".cache", "XDG_CONFIG_HOME": ".config", "XDG_DATA_HOME": ".local/share"}


def settle(root: Path) -> None:
    """Give this process and its children places that can be written, and a name; `root` is the project folder."""
    for name in ELSEWHERE:
        os.environ.pop(name, None)
    home = os.path.expanduser("~")
    places = {name: Path(os.environ.get(name) or Path(home, below)) for name, below in PLACES.items()}
    lost = [name for name, place in places.items() if not (place.is_absolute() and writable(place))]
    if lost or not os.path.isabs(home):
        own = root / FOLDER
        if not writable(own):
            own = Path(tempfile.mkdtemp(prefix="tesserae-home-"))
            atexit.register(shutil.rmtree, own, ignore_errors=True)
        os.environ |= {name: str(own / PLACES[name]) for name in lost}
        if not os.path.isabs(home):  # neither HOME nor the system says where it is
            os.environ["HOME"] = str(own)
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["LOGNAME"] = f"uid{os.getuid()}"


@contextlib.contextmanager
def of_nobody(folder: Path) -> Iterator[None]:
    """Pythons and notebooks that are started here do nothing first that a user told them. IPython lives in `folder`."""
    before = {name: os.environ.pop(name, None) for name in (*FIRST, "IPYTHONDIR", "JUPYTER_PREFER_ENV_PATH")}
    os.environ |= {"IPYTHONDIR": str(folder), "JUPYTER_PREFER_ENV_PATH": "1"}
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)


def speak_utf8() -> None:
    """Begin this process anew where its locale has no name for most letters, so that paths and files are UTF-8.

    Libraries keep paths in databases and write logs as the locale says. What is printed is still for the terminal.
    """
    if sys.getfilesystemencoding() == "utf-8" or os.environ.get("PYTHONUTF8") == "1":
        return
    spoken = getattr(sys.stdout, "encoding", None) or "ascii"
    os.environ |= {"PYTHONUTF8": "1", "PYTHONIOENCODING": f"{spoken}:backslashreplace"}
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def writable(place: Path) -> bool:
    """Whether files could be made in a folder, which itself may have to be made. Makes none."""
    there = next((folder for folder in (place, *place.parents) if folder.exists()), None)
    return there is not None and there.is_dir() and os.access(there, os.W_OK | os.X_OK)
