"""Output that a terminal's encoding cannot break."""

import io
import sys


def adapt() -> None:
    """From here on, what the encoding of standard output and error lacks (→ in Latin-1, names that are no text) is
    written as its code; it raises no error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors != "backslashreplace":
            stream.reconfigure(errors="backslashreplace")
