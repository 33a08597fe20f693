"""Programs from the command line: options from dataclasses, one sentence for bad input."""

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from geoclip.commands.options import read_settings, with_settings
from geoclip.errors import GeoclipError
from geoclip.training.held_out import EvaluationSettings
from geoclip.training.settings import TrainingSettings
from pipelines import locate_photos
from pipelines.command_line import command_of, run

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = (
    *("write_captions", "train_encoder", "embed_places", "embed_photos", "locate_photos"),
    *("evaluate_guesses", "end_to_end"),
    *("embedded_models.text_pretraining", "embedded_models.train_street_tiny"),
)


def parse(*arguments: str) -> TrainingSettings:
    read = []

    @with_settings(TrainingSettings, EvaluationSettings)
    def main(**settings: Any) -> None:
        read.append(read_settings(TrainingSettings, settings))

    command_of(main)(arguments, standalone_mode=False)
    return read[0]


def test_defaults_survive() -> None:
    assert parse() == TrainingSettings()


def test_every_kind_of_option() -> None:
    settings = parse(
        *("--epochs", "2", "--betas", "0.8", "0.9", "--no-augment", "--chunk-size", "16"),
        *("--text-learning-rate", "0", "--loss", "siglip"),
    )
    assert settings == TrainingSettings(
        epochs=2,
        betas=(0.8, 0.9),
        augment=False,
        chunk_size=16,
        text_learning_rate=0.0,
        loss="siglip",
    )


def test_bad_values_are_refused() -> None:
    with pytest.raises(GeoclipError, match="epochs"):
        parse("--epochs", "0")


@pytest.mark.parametrize("number", ["0", "-2", "two"])
def test_a_count_of_workers_is_at_least_one(number: str, capsys: Any) -> None:
    given = ["--photos", "p", "--model", "m", "--out", "o", "--actors", number]
    with pytest.raises(SystemExit) as stopped:
        run(locate_photos.main, given)
    assert stopped.value.code == 2
    assert "--actors" in capsys.readouterr().err


def fail_in_a_worker() -> None:
    try:
        raise GeoclipError("photos.csv: row 3 is wrong; correct it.")
    except GeoclipError as inner:
        raise RuntimeError("a worker died") from inner


def test_a_workers_error_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(fail_in_a_worker, [])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "geoclip: photos.csv: row 3 is wrong; correct it.\n"


@pytest.mark.parametrize(
    "said",
    [
        "When testing for existence of bucket 'b': AWS Error UNKNOWN (HTTP status 400) during ...",
        "Bucket 'b' not found. To create buckets, enable the allow_bucket_creation option.",
    ],
)
def test_what_storage_refuses_is_one_sentence(
    said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        """Fail like a worker of Ray."""
        try:
            raise OSError(said)
        except OSError as problem:
            raise RuntimeError("in a worker") from problem

    fail.__module__ = locate_photos.__name__
    with pytest.raises(SystemExit) as ended:
        run(fail, [])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line and "the same command goes on" in line


def test_other_errors_stay_as_they_are() -> None:
    def fail() -> None:
        """Fail as only our own mistakes do."""
        raise OSError("no space left on device")

    fail.__module__ = locate_photos.__name__
    with pytest.raises(OSError, match="no space left"):
        run(fail, [])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "empty"),
        ("path,lat,lon\n", "lists no photo"),
        ("path,lat,lon\na.jpg,91,0\n", "row 2"),
        ("path,lat,lon\na.jpg,nan,0\n", "row 2"),
        ("path,lon,lat\na.jpg,50,170\nb.jpg,51,171\nc.jpg,52,-120\n", "exchange"),
        ("path,lat,lon\na.jpg,1,1\na.jpg,1,1\n", "row 3"),
    ],
)
def test_bad_photo_tables_end_in_one_sentence(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "photos.csv").write_text(content)
    photos, captions = tmp_path / "photos.csv", tmp_path / "captions.parquet"
    options = ["--photos", str(photos), "--out", str(captions)]
    out = subprocess.run(
        [sys.executable, "-m", "pipelines.write_captions", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert out.returncode == 2
    assert "Traceback" not in out.stderr
    assert said in out.stderr
    assert "photos.csv" in out.stderr


def test_a_workers_error_is_its_sentence_and_not_rays_traceback(capsys):
    from ray.exceptions import RayTaskError

    inner = GeoclipError("photos.csv has no column path; add it.")
    wrapped = RayTaskError("f", "Traceback of the worker", inner).as_instanceof_cause()
    assert isinstance(wrapped, GeoclipError) and str(wrapped) != str(inner)

    def main() -> None:
        raise wrapped

    with pytest.raises(SystemExit) as stopped:
        run(main, [])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "geoclip: photos.csv has no column path; add it.\n"


@pytest.mark.parametrize(
    ("predictions", "captions", "error"),
    [
        ("none.parquet", "captions.parquet", r"none\.parquet is no readable table of predictions"),
        ("captions.parquet", "captions.parquet", r"\(rank\).*; make it with pipelines\.locate"),
        (
            "predictions.parquet",
            "predictions.parquet",
            r"\(split\).*; make it with pipelines\.write",
        ),
        ("predictions.parquet", "none.parquet", r"none\.parquet is no readable table of captions"),
    ],
)
def test_tables_that_cannot_be_evaluated(
    tmp_path: Path, predictions: str, captions: str, error: str
) -> None:
    from pipelines import evaluate_guesses

    pd.DataFrame(columns=evaluate_guesses.TRUTH).to_parquet(tmp_path / "captions.parquet")
    pd.DataFrame(columns=evaluate_guesses.NEEDED).to_parquet(tmp_path / "predictions.parquet")
    named = ("--predictions", tmp_path / predictions, "--captions", tmp_path / captions)
    given = [*map(str, named), "--out", str(tmp_path / "report.json")]
    with pytest.raises(GeoclipError, match=error):
        command_of(evaluate_guesses.main)(given, standalone_mode=False)


def test_other_defaults_are_shown_and_are_none_of_the_given() -> None:
    given: dict[str, Any] = {}

    @with_settings(TrainingSettings(epochs=77, betas=(0.5, 0.6), augment=False))
    def main(*, out: str = "x", **settings: Any) -> None:
        given.update(settings, out=out)

    command = command_of(main)
    command(["--seed", "0", "--compile"], standalone_mode=False)
    assert given == {"seed": 0, "compile": True, "out": "x"}
    helps = {option.name: option.help for option in command.params}
    assert helps["epochs"] == "Passes over the photos. (default: 77)"
    assert helps["betas"].endswith("(default: 0.5 0.6)")
    assert helps["augment"].endswith("(default: --no-augment)")
    assert "default" not in helps["text_learning_rate"]


def test_a_start_brings_defaults_and_the_user_overrides_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from pipelines import end_to_end

    seen: list[TrainingSettings] = []
    monkeypatch.setattr(end_to_end, "end_to_end", lambda *given, **_: seen.append(given[3]))
    for words in ([], ["--model", "clip-b-32"], ["--model", "clip-b-32", "--epochs", "6"]):
        command_of(end_to_end.main)(words, standalone_mode=False)
    assert seen == [end_to_end.FROM_START, TrainingSettings(), TrainingSettings(epochs=6)]


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_says_what_it_does(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = importlib.import_module(f"pipelines.{program}")
    with pytest.raises(SystemExit) as stopped:
        run(module.main, ["--help"])
    assert stopped.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    assert " ".join(module.__doc__.split("\n\n")[0].replace("`", "").split()) in said
    assert f"python -m pipelines.{program}" in said


def test_a_uri_is_no_path_on_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    from pipelines import evaluate_guesses

    given = ["--predictions", "p", "--captions", "c", "--out", "s3://bucket/report.json"]
    with pytest.raises(SystemExit) as stopped:
        run(evaluate_guesses.main, given)
    assert stopped.value.code == 2
    assert "is a URI; give a path" in capsys.readouterr().err
