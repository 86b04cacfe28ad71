"""What Python imports first in every process that a stage starts: they are watched as the stage itself is.

This folder is put before all others in PYTHONPATH (watching.py); a module of this name that stands behind it is
imported as well.
"""

import os
import sys

sys.path[:] = [path for path in sys.path if path != os.path.dirname(os.path.abspath(__file__))]
try:
    from tesserae.workflow import watching

    watching.begin()
except ImportError:  # an interpreter that has no tesserae runs none of it
    pass
_ours = sys.modules.pop("sitecustomize", None)
try:
    import sitecustomize  # noqa: F401
except ImportError:
    sys.modules["sitecustomize"] = _ours
