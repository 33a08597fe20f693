"""Two distributions share the import name: whichever came last, one clear sentence."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from geoclip.support import name_guard
from geoclip.support.name_guard import check_checkout, package_file

ROOT = Path(__file__).resolve().parents[2]
CLEAR = "Another project's distribution `geoclip` 1.3.0 is installed"


@pytest.fixture(scope="module")
def their_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stand-in for the other team's distribution: the same name, a few of the same files."""
    wheel = tmp_path_factory.mktemp("theirs") / "geoclip-1.3.0-py3-none-any.whl"
    info = "geoclip-1.3.0.dist-info"
    files = {
        "geoclip/__init__.py": "print('THE WRONG PROGRAM')\n",
        "geoclip/model/__init__.py": "",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: geoclip\nVersion: 1.3.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return wheel


class Environment:
    """An empty virtual environment outside the checkout."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=False, symlinks=True)
        self.folder = folder
        self.python = folder / "bin" / "python"

    def pip(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "pip", "--python", str(self.python), *arguments]
        subprocess.run([*command, "--quiet"], check=True, capture_output=True)

    def install(self, *wheels: Path) -> None:
        for wheel in wheels:
            self.pip("install", "--no-deps", "--no-index", "--no-compile", str(wheel))

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        return subprocess.run(
            command, cwd=self.folder, env=clean, capture_output=True, text=True, check=False
        )

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run(str(self.folder / "bin" / "geoclip"), *arguments)

    def code(self, text: str) -> subprocess.CompletedProcess[str]:
        return self.run(str(self.python), "-c", text)


def assert_one_sentence(result: subprocess.CompletedProcess[str]) -> None:
    assert result.returncode == 2
    assert CLEAR in result.stderr
    assert result.stderr.count("\n") == 1
    assert "WRONG" not in result.stdout + result.stderr


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(tmp_path / "venv")


def test_ours_alone_is_accepted(environment: Environment, our_wheel: Path) -> None:
    environment.install(our_wheel)
    printed = environment.code("import geoclip; print(geoclip.__version__, geoclip.__file__)")
    assert printed.returncode == 0, printed.stderr
    assert str(environment.folder) in printed.stdout
    # No dependency is installed here: getting as far as typer shows that the guard let it pass.
    assert "No module named 'typer'" in environment.command("--help").stderr


def test_theirs_first_then_ours(
    environment: Environment, our_wheel: Path, their_wheel: Path
) -> None:
    environment.install(their_wheel, our_wheel)
    assert_one_sentence(environment.command("locate", "x.jpg"))
    imported = environment.code("import geoclip")
    assert imported.returncode == 1
    assert imported.stderr.splitlines()[-1].startswith(f"ImportError: {CLEAR}")


def test_ours_first_then_theirs(
    environment: Environment, our_wheel: Path, their_wheel: Path
) -> None:
    environment.install(our_wheel, their_wheel)
    assert_one_sentence(environment.command("locate", "x.jpg"))
    checked = environment.code(
        f"import geoclip_launcher as it; it.load_guard().check_checkout({str(ROOT)!r})"
    )
    assert checked.returncode == 1
    assert checked.stderr.splitlines()[-1].startswith(f"ImportError: {CLEAR}")
    # Their own users still get theirs; ours is never half of a mixture.
    assert "WRONG" in environment.code("import geoclip").stdout
    ours = environment.code("from geoclip import Gazetteer")
    assert ours.returncode == 1
    assert ours.stderr.splitlines()[-1].startswith("ImportError: ")


def test_their_removal_that_takes_our_files_along_is_noticed(
    environment: Environment, our_wheel: Path, their_wheel: Path
) -> None:
    environment.install(our_wheel, their_wheel)
    environment.pip("uninstall", "--yes", "geoclip")
    result = environment.command("locate", "x.jpg")
    assert result.returncode == 2
    assert "is missing or damaged" in result.stderr
    assert result.stderr.count("\n") == 1


def test_their_files_without_their_metadata_are_noticed(
    environment: Environment, our_wheel: Path, tmp_path: Path
) -> None:
    environment.install(our_wheel)
    package = next(environment.folder.glob("lib/python*/site-packages/geoclip"))
    (package / "__init__.py").write_text("print('THE WRONG PROGRAM')\n")
    result = environment.command("locate", "x.jpg")
    assert result.returncode == 2
    assert "which is not geoclip-gzsl" in result.stderr
    assert "WRONG" not in result.stdout


def test_the_tests_run_against_this_checkout() -> None:
    check_checkout(ROOT)
    assert package_file() == ROOT / "geoclip" / "__init__.py"


def test_another_checkout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportError, match="not this checkout's"):
        check_checkout(tmp_path)


def test_no_package_at_all_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(name_guard, "package_file", lambda: None)
    problem = name_guard.package_problem()
    assert problem is not None
    assert "missing or damaged" in problem
