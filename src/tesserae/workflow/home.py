"""A user whom the system does not know by name, or whose home cannot be written: as in many containers.

Snakemake, DVC, matplotlib and Jupyter keep caches and settings below the home folder, and ask for the name of the user.
Where either is not to be had, they find it in the project folder instead. What can be written stays where it is.
"""

import atexit
import getpass
import os
import shutil
import tempfile
from pathlib import Path

FOLDER = Path(".tesserae/home")
PLACES = {"XDG_CACHE_HOME": ".cache", "XDG_CONFIG_HOME": ".config", "XDG_DATA_HOME": ".local/share"}


def settle(root: Path) -> None:
    """Give this process and its children places that can be written, and a name; `root` is the project folder."""
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


def writable(place: Path) -> bool:
    """Whether files could be made in a folder, which itself may have to be made. Makes none."""
    there = next((folder for folder in (place, *place.parents) if folder.exists()), None)
    return there is not None and there.is_dir() and os.access(there, os.W_OK | os.X_OK)
