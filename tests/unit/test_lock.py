"""requirements.lock holds all but what torch's CUDA build names itself, so machines do not differ."""

import sys
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = ("tasks", "rewrite", "sweep-joblib", "dashboards", "dev")  # what `make` installs


def lock():
    """Name → the pinned requirement."""
    lines = (line.partition("#")[0].strip() for line in (ROOT / "requirements.lock").read_text().splitlines())
    pinned = map(Requirement, filter(None, lines))
    return {canonicalize_name(requirement.name): requirement for requirement in pinned}


def needed(requirement, extras=("",)):
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in extras)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="the lock is for Python 3.11 and later")
def test_the_lock_is_complete():
    if sys.platform != "linux":
        pytest.skip("the lock names what Linux needs")
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *(line for extra in EXTRAS for line in extras[extra])]
    pinned, missing = lock(), []
    for name, extras, requirements in [("pyproject.toml", (), map(Requirement, asked)), *installed(pinned)]:
        for requirement in requirements:
            found = pinned.get(canonicalize_name(requirement.name))
            if needed(requirement, extras or ("",)) and (
                found is None or not requirement.specifier.contains(version(found), prereleases=True)
            ):
                missing.append(f"{name} needs {requirement}")
    assert not missing


def installed(pinned):
    """(name, extras, requirements) of all packages of the lock that are here."""
    wanted = {"math-verify": ("antlr4-9-3", "")}
    for name in pinned:
        try:
            yield name, wanted.get(name, ("",)), map(Requirement, requires(name) or ())
        except PackageNotFoundError:
            continue


def version(requirement):
    (pin,) = requirement.specifier
    return pin.version
