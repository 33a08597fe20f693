"""Tell geoclip-gzsl from another team's distribution that shares the import name.

The distribution `geoclip` on PyPI is not this project. It installs its files into the same folder,
and the last one installed wins. This module needs the standard library only: `commands/launcher.py`
runs it as a plain file, because `geoclip/__init__.py` may be the other one.
"""

import importlib.util
from importlib import metadata
from pathlib import Path

OTHER_DISTRIBUTION = "geoclip"
OUR_DISTRIBUTION = "geoclip-gzsl"
CURE = (
    f"run `pip uninstall {OTHER_DISTRIBUTION}` and then reinstall {OUR_DISTRIBUTION} "
    "with `pip install --force-reinstall --no-deps`"
)


def distribution_problem() -> str | None:
    """One sentence when the other distribution is installed, else None."""
    try:
        other = metadata.distribution(OTHER_DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return None
    where = Path(str(other.locate_file("")))
    return (
        f"Another project's distribution `{OTHER_DISTRIBUTION}` {other.version} is installed in "
        f"{where} and writes into the same folder as {OUR_DISTRIBUTION}, so {CURE}."
    )


def package_file() -> Path | None:
    """The `__init__.py` that `import geoclip` runs, found without importing it."""
    try:
        spec = importlib.util.find_spec("geoclip")
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec is not None and spec.origin else None


def package_problem() -> str | None:
    """One sentence when `import geoclip` would not run this project's package, else None."""
    found = package_file()
    if found is None:
        return f"The package of {OUR_DISTRIBUTION} is missing or damaged, so {CURE}."
    # Our file contains our distribution's name; the other one has no reason to.
    if OUR_DISTRIBUTION.encode() not in found.read_bytes():
        return f"`import geoclip` would run {found}, which is not {OUR_DISTRIBUTION}, so {CURE}."
    return None


def refuse_other_distribution() -> None:
    """Raise ImportError, with one sentence, when the other distribution is installed."""
    problem = distribution_problem()
    if problem is not None:
        raise ImportError(problem)


def check_checkout(root: str | Path) -> None:
    """Raise ImportError unless `geoclip` is the package in the checkout at `root`.

    For programs, notebooks and tests that live in a checkout and must not run against another
    installed copy.
    """
    problem = distribution_problem() or package_problem()
    found, expected = package_file(), Path(root).resolve() / "geoclip"
    if problem is None and found is not None and found.resolve().parent != expected:
        problem = (
            f"`geoclip` is {found.parent}, not this checkout's {expected}: "
            f"run `pip install -e {Path(root).resolve()}`."
        )
    if problem is not None:
        raise ImportError(problem)
