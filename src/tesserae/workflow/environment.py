"""Lets the scripts of a virtual environment start its own interpreter, wherever it was made. Standard library only.

    python environment.py FOLDER

Scripts name their interpreter by its whole path, which is another one after the environment was moved or copied; and
the way in which pip writes a path with spaces fails at quotes and dollar signs.
"""

import re
import shlex
import sys
from pathlib import Path

LONGEST = 127  # bytes of a first line, on Linux; spaces end the path in it
HEADER = re.compile(rb"""\A#!(?:/bin/sh\n'''exec' )?(?P<python>[^\n]*?)(?: "\$0" "\$@"\n' ''')?\n""")


def mend(environment: Path) -> list[str]:
    """Rewrite the first lines of scripts that do not start this environment's interpreter; their names."""
    mended = []
    for script in sorted((environment / "bin").iterdir()):
        if script.is_symlink() or not script.is_file():
            continue
        content = script.read_bytes()
        found = HEADER.match(content)
        if not found:
            continue
        # The old path may end in quotes, and it may be one that no longer exists: its end tells whose it is.
        ours = re.search(rb"/" + re.escape(environment.name.encode()) + rb"/bin/(python[\d.]*)['\"]*$", found["python"])
        if ours and (header := first_line(script.with_name(ours[1].decode()))) != found[0]:
            aside = script.with_name(f".{script.name}.mended")  # the file itself may be linked to another environment's
            aside.write_bytes(header + content[found.end() :])
            aside.chmod(script.stat().st_mode)
            aside.replace(script)
            mended.append(script.name)
    return mended


def first_line(python: Path) -> bytes:
    """What makes a script start `python`: a line, or three that sh runs and Python takes for a text."""
    path = str(python)
    line = f"#!{path}\n".encode()
    if len(line) <= LONGEST and not any(character.isspace() for character in path):
        return line
    return f"#!/bin/sh\n'''exec' {shlex.quote(path)} \"$0\" \"$@\"\n' '''\n".encode()


if __name__ == "__main__":
    mend(Path(sys.argv[1]).absolute())
