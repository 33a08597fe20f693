"""Programs from the command line: options from dataclasses, one sentence for bad input."""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from geoclip.errors import GeoclipError
from geoclip.training.settings import TrainingSettings
from pipelines.command_line import add_settings, photo_parser, read_settings, run

ROOT = Path(__file__).resolve().parents[2]


def parse(*arguments: str) -> TrainingSettings:
    parser = argparse.ArgumentParser()
    add_settings(parser, TrainingSettings)
    return read_settings(parser.parse_args(arguments), TrainingSettings)


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
        photo_parser("", "").parse_args(given)
    assert stopped.value.code == 2
    assert "--actors" in capsys.readouterr().err


def fail_in_a_worker() -> None:
    try:
        raise GeoclipError("photos.csv: row 3 is wrong; correct it.")
    except GeoclipError as inner:
        raise RuntimeError("a worker died") from inner


def test_a_workers_error_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(fail_in_a_worker)
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "geoclip: photos.csv: row 3 is wrong; correct it.\n"


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
        run(main)
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "geoclip: photos.csv has no column path; add it.\n"


@pytest.mark.parametrize(
    ("predictions", "captions", "error"),
    [
        ("none.parquet", "captions.parquet", r"none\.parquet is no readable table of predictions"),
        ("captions.parquet", "captions.parquet", r"location_id.*; make it with pipelines\.locate"),
        ("predictions.parquet", "none.parquet", r"none\.parquet is no readable table of captions"),
    ],
)
def test_tables_that_cannot_be_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, predictions: str, captions: str, error: str
) -> None:
    from pipelines import evaluate_guesses

    pd.DataFrame({"path": ["a.jpg"]}).to_parquet(tmp_path / "captions.parquet")
    pd.DataFrame(columns=evaluate_guesses.ANSWER).to_parquet(tmp_path / "predictions.parquet")
    named = ("--predictions", tmp_path / predictions, "--captions", tmp_path / captions)
    given = ["evaluate_guesses", *map(str, named), "--out", str(tmp_path / "report.json")]
    monkeypatch.setattr(sys, "argv", given)
    with pytest.raises(GeoclipError, match=error):
        evaluate_guesses.main()
