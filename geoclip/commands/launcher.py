"""Where the `geoclip` command starts; installed as the top-level module `geoclip_launcher`.

It lies outside the package because `geoclip/__init__.py` may belong to another team's distribution,
which must not run. So it finds `name_guard.py` as a file, which only this project has, and imports
the package once the guard allows it. Standard library only.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def load_guard() -> ModuleType | None:
    """The module `geoclip.support.name_guard`, loaded without running `geoclip/__init__.py`."""
    for folder in sys.path:
        file = Path(folder) / "geoclip" / "support" / "name_guard.py"
        spec = importlib.util.spec_from_file_location("geoclip_name_guard", file)
        if file.is_file() and spec is not None and spec.loader is not None:
            guard = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(guard)
            return guard
    return None


def run_command() -> None:
    """Start the `geoclip` command; exit with 2 and one sentence if it would not be ours."""
    guard = load_guard()
    if guard is None:
        problem = "The package of geoclip-gzsl is missing, so reinstall geoclip-gzsl."
    else:
        problem = guard.distribution_problem() or guard.package_problem()
    if problem is not None:
        print(f"geoclip: {problem}", file=sys.stderr)
        sys.exit(2)
    from geoclip.commands.app import app  # noqa: PLC0415  (only once it is known to be ours)

    app(prog_name="geoclip")


if __name__ == "__main__":
    run_command()
