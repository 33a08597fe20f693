"""`geoclip finetune` trains, resumes, and leaves an encoder that loads."""

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from known_world import write_gazetteer, write_photos
from PIL import Image
from safetensors.torch import load_file
from tiny_encoders import write_transformers_clip
from typer.testing import CliRunner, Result

from geoclip.commands.app import app
from geoclip.encoders import load_encoder
from geoclip.encoders.transformers_encoder import TransformersEncoder
from geoclip.guesses.settings import LocateSettings
from geoclip.locator import Locator
from geoclip.photos.abstention import AbstentionSettings
from geoclip.photos.trained_photos import TrainedPhotos, fingerprints
from geoclip.places.captions import CaptionSettings
from geoclip.places.gazetteer import Gazetteer
from geoclip.places.sphere import great_circle_km
from geoclip.ranking.model_settings import ModelSettings
from geoclip.training.checkpoints import latest_checkpoint
from geoclip.training.settings import EvaluationSettings, TrainingSettings
from geoclip.training.trainer import Trainer

COUNTRIES = """place_id,name,iso3,continent,sovereign,lat,lon,population
FR,France,FRA,EU,FR,45.7,4.8,67000000
JP,Japan,JPN,AS,JP,35.7,139.7,120000000
"""
REGIONS = """place_id,name,ascii_name,country_code,lat,lon,population
FR.84,Rhone,Rhone,FR,45.7,4.8,520000
"""
CITIES = """place_id,name,ascii_name,region_id,country_code,lat,lon,population
1,Lyon,Lyon,FR.84,FR,45.75,4.85,520774
2,Tokyo,Tokyo,,JP,35.68,139.69,9000000
"""
OPTIONS = ("--batch-size", 4, "--epochs", 3, "--learning-rate", 1e-3, "--device", "cpu")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gazetteer of two cities, twelve photos of them, one held out, and a tiny CLIP."""
    folder = tmp_path_factory.mktemp("scene")
    (folder / "places").mkdir()
    for name, text in (("countries", COUNTRIES), ("regions", REGIONS), ("cities", CITIES)):
        (folder / "places" / f"{name}.csv").write_text(text, encoding="utf-8")
    rng = np.random.default_rng(0)
    rows = []
    for i in range(12):
        pixels = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
        lat, lon = ((45.75, 4.85), (35.68, 139.69))[i % 2]
        code = ("FR", "JP")[i % 2]
        split = "test" if i == 11 else "train"
        rows.append((f"{i}.png", lat, lon, code, split))
    rows.append(("absent.png", 45.75, 4.85, "FR", "train"))
    columns = ["path", "lat", "lon", "country_code", "split"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "photos.csv", index=False)
    start = write_transformers_clip(folder / "start")
    ModelSettings(CaptionSettings(prefix="A photo")).write(start)
    return folder


def run(scene: Path, out: Path, *more: object, photos: str = "photos.csv") -> Result:
    arguments = ["finetune", scene / photos, "--out", out, "--gazetteer", scene / "places"]
    arguments += ["--model", scene / "start", *OPTIONS, *more]
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def finished(scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    result = run(scene, out, "--checkpoint-every", 4)
    assert result.exit_code == 0, result.output
    return out


def weights(folder: Path) -> dict[str, Any]:
    return load_file(folder / "encoder" / "model.safetensors")


def test_a_run_leaves_encoder_losses_and_lists(scene: Path, finished: Path) -> None:
    losses = pd.read_csv(finished / "losses.csv")
    assert losses["step"].tolist() == list(range(1, 7))  # 11 photos, 2 batches of 4, 3 epochs
    tuned = weights(finished)
    before = load_file(scene / "start" / "model.safetensors")
    assert any(not tuned[name].equal(before[name]) for name in before)
    held_out = pd.read_csv(finished / "held_out.csv")
    assert [Path(path).name for path in held_out["path"]] == ["11.png"]
    assert "absent.png" in (finished / "missing.csv").read_text()
    assert not list(finished.rglob("*unfinished*"))


def test_the_tuned_encoder_loads_with_its_prompts(finished: Path) -> None:
    encoder = load_encoder(finished / "encoder")
    assert not (finished / "encoder" / "state").exists()
    assert ModelSettings.read(encoder.folder).captions.prefix == "A photo"


def test_the_tuned_encoder_knows_the_photos_of_all_its_tunings(
    scene: Path, finished: Path, tmp_path: Path
) -> None:
    known = TrainedPhotos.read(finished / "encoder")
    found = known.holds(fingerprints(str(scene / f"{i}.png") for i in range(12)))
    assert found.tolist() == [True] * 11 + [False]
    assert known.countries == ("FR", "JP")
    (scene / "one.csv").write_text("path,lat,lon,split\n11.png,45.75,4.85,train\n")
    start = ("--model", finished / "encoder", "--epochs", 1)
    assert run(scene, tmp_path, *start, photos="one.csv").exit_code == 0
    again = TrainedPhotos.read(tmp_path / "encoder")
    assert again.holds(known.records["photo"]).all()
    assert len(again.records) == len(known.records) + 1 == 12


def test_few_held_out_photos_leave_it_uncalibrated(scene: Path, finished: Path) -> None:
    result = run(scene, finished)
    assert "stays uncalibrated. A calibration needs photos of at least 50 places, here are 1" in (
        result.stderr
    )
    assert not ModelSettings.read(finished / "encoder").ranking.calibrated


def test_it_ends_with_what_changed_and_the_next_command(scene: Path, finished: Path) -> None:
    (finished / "map.html").unlink()
    result = run(scene, finished)
    assert "6 steps of 4 photos only" in result.stderr
    where = {"FR": (45.75, 4.85), "JP": (35.68, 139.69)}
    settings = LocateSettings(gps="ignore", abstention=AbstentionSettings(level="off"))
    places = Gazetteer.read(scene / "places")
    for folder in (scene / "start", finished / "encoder"):
        guess = Locator.from_pretrained(folder, places).locate_one(scene / "11.png", settings)[0]
        km = float(great_circle_km(guess.lat, guess.lon, *where["JP"]))
        assert f"{km:,.1f}" in next(
            line for line in result.stdout.splitlines() if line.startswith("│ median_km")
        )
    assert "11.png" in (finished / "map.html").read_text()
    assert result.stdout.rstrip().endswith(
        f"Next: geoclip locate PHOTOS --model {finished / 'encoder'}"
    )


def test_held_out_photos_calibrate_the_tuned_encoder(scene: Path, tmp_path: Path) -> None:
    write_gazetteer(tmp_path / "places")
    photos = write_photos(tmp_path)
    table = pd.read_csv(photos)
    table["split"] = table["split"].map({"old": "train", "new": "test"})
    table.to_csv(photos, index=False)
    arguments = ["finetune", photos, "--gazetteer", tmp_path / "places", "--out", tmp_path / "out"]
    arguments += ["--model", scene / "start", *OPTIONS]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    compared, flattering = "Held-out photos before and after", "from now on are too good"
    assert 0 <= result.stdout.index(compared) < result.stdout.index(flattering)
    assert "Fitted on 116 photos of 58 places." in result.stdout
    settings = ModelSettings.read(tmp_path / "out" / "encoder")
    assert settings.captions.prefix == "A photo"
    assert settings.ranking.calibration is not None
    assert settings.ranking.calibration.photos == 116
    stored = json.loads((tmp_path / "out" / "encoder" / "calibration.json").read_text())
    assert set(stored["source"]["after"]["sources"]) == {f"source{i}" for i in range(4)}


def test_a_stopped_run_goes_on_and_ends_alike(
    scene: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Trainer.run

    def stopping(self: Trainer) -> Iterator[dict[str, float]]:
        for record in steps(self):
            yield record
            if self.step == 3:
                raise KeyboardInterrupt

    out = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run", stopping)
        assert run(scene, out, "--checkpoint-every", 2).exit_code != 0
    latest = latest_checkpoint(out)
    assert latest is not None and latest.name == "step-2"
    assert not (out / "encoder").exists()
    result = run(scene, out, "--checkpoint-every", 2)
    assert result.exit_code == 0, result.output
    expected = weights(finished)
    assert all(value.equal(expected[name]) for name, value in weights(out).items())
    pd.testing.assert_frame_equal(
        pd.read_csv(out / "losses.csv"), pd.read_csv(finished / "losses.csv")
    )


def test_a_finished_run_given_again_trains_no_more(
    scene: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Trainer) -> Iterator[dict[str, float]]:
        raise AssertionError("a step was taken")
        yield {}

    before = weights(finished)
    monkeypatch.setattr(Trainer, "run", refuse)
    assert run(scene, finished).exit_code == 0
    assert all(value.equal(before[name]) for name, value in weights(finished).items())


@pytest.mark.parametrize(
    ("change", "photos", "what"),
    [
        (("--seed", 1), "photos.csv", "settings.seed: 0, this one's: 1"),
        (("--learning-rate", 1e-4), "photos.csv", "settings.learning_rate: 0.001"),
        ((), "other.csv", "photos"),
    ],
)
def test_the_folder_of_another_run_is_refused_and_left_as_it_is(
    scene: Path, finished: Path, change: tuple[object, ...], photos: str, what: str
) -> None:
    table = pd.read_csv(scene / "photos.csv")
    table.assign(split=table["split"].mask(table["path"] == "3.png", "test")).to_csv(
        scene / "other.csv", index=False
    )
    before = {name: (finished / name).read_bytes() for name in ("held_out.csv", "run.json")}
    result = run(scene, finished, *change, photos=photos)
    assert result.exit_code == 2
    assert f"belongs to another run (its {what}" in result.stderr
    assert before == {name: (finished / name).read_bytes() for name in before}


def test_a_run_goes_on_with_another_chunk_size(scene: Path, finished: Path) -> None:
    """The cure for too little memory; the result is that of the run before."""
    before = (finished / "run.json").read_bytes()
    assert run(scene, finished, "--chunk-size", 2).exit_code == 0
    assert (finished / "run.json").read_bytes() == before


def test_a_model_that_does_not_load_leaves_the_folder_to_the_next_command(
    scene: Path, tmp_path: Path
) -> None:
    (scene / "empty").mkdir(exist_ok=True)
    assert run(scene, tmp_path / "out", "--model", scene / "empty").exit_code == 2
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_one_sentence_and_loses_nothing(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = Trainer.save

    def full(self: Trainer, folder: Path) -> None:
        if self.step > 2:
            (folder / "half").write_text("")
            raise OSError(28, "No space left on device")
        save(self, folder)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "save", full)
        result = run(scene, tmp_path, "--checkpoint-every", 2)
    assert result.exit_code == 2
    assert "No space left" in result.stderr
    assert "Traceback" not in result.output
    latest = latest_checkpoint(tmp_path)
    assert latest is not None and latest.name == "step-2"
    assert not list(tmp_path.rglob("half"))


def test_a_disk_that_is_full_at_the_end_is_one_sentence_and_the_weights_are_kept(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(ModelSettings, "write", full)
        result = run(scene, tmp_path)
    assert result.exit_code == 2
    assert "cannot be written to (No space left on device); free space" in result.stderr
    assert "Traceback" not in result.output
    monkeypatch.setattr(Trainer, "run", full)  # kept results are not trained again
    assert run(scene, tmp_path).exit_code == 0


def test_bad_input_is_one_sentence(scene: Path, tmp_path: Path) -> None:
    (scene / "none.csv").write_text("path,lat,lon,split\n0.png,45.7,4.8,test\n")
    for result, words in (
        (run(scene, tmp_path / "a", photos="none.csv"), "no photo to train on"),
        (run(scene, tmp_path / "b", photos="absent.csv"), "absent.csv"),
        (run(scene, tmp_path / "c", "--loss", "other"), "use clip or siglip"),
        (run(scene, tmp_path / "d", "--model", "no-such"), "no-such"),
        (run(scene, tmp_path / "e", "--device", "meta"), "The device meta holds no values"),
    ):
        assert result.exit_code == 2
        assert words in result.stderr
        assert result.stderr.splitlines()[-1].startswith("geoclip: ")


def test_a_run_is_evaluated_on_the_way_and_ends_with_the_best(scene: Path, tmp_path: Path) -> None:
    evaluation = ("--evaluate-every", 2, "--best-by", "test/geoscore", "--keep", "best")
    result = run(scene, tmp_path, *evaluation)
    assert result.exit_code == 0, result.output
    figures = pd.read_csv(tmp_path / "evaluations.csv")
    assert figures["step"].tolist() == [2, 4, 6]
    assert figures["test/geoscore"].between(0, 5000).all()
    for step, score in zip(figures["step"], figures["mean/geoscore"], strict=True):
        assert f"step {step:.0f}, held-out photos: GeoScore {score:,.0f}, country" in result.stderr
    best = figures.loc[figures["test/geoscore"].idxmax(), "step"]
    kept = tmp_path / "checkpoints" / f"step-{best:.0f}" / "model.safetensors"
    assert kept.read_bytes() == (tmp_path / "encoder" / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--keep", "best"), "not known without evaluation"),
        (("--keep", "best", "--evaluate-every", 2, "--alpha", 0.5), "alpha averages"),
        (("--evaluate-every", 2, "--best-by", "moon/geoscore"), "use one of mean/"),
        (("--evaluate-every", -1), "must not be negative"),
    ],
)
def test_an_evaluation_that_cannot_work_is_refused_before_the_first_step(
    scene: Path, tmp_path: Path, options: tuple[object, ...], said: str
) -> None:
    result = run(scene, tmp_path / "out", *options)
    assert result.exit_code == 2 and said in result.stderr
    assert not (tmp_path / "out").exists()


def test_by_default_memory_does_not_grow_with_the_batch(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more photos pass the image tower at a time than fit; the defaults took 22 GB once."""
    monkeypatch.setattr("geoclip.training.memory.WITH_SCRATCH", 1.0)
    monkeypatch.setattr("geoclip.training.memory.peak_bytes", lambda *_: 4 * 10**9)
    monkeypatch.setattr("geoclip.training.memory.memory_for_training", lambda device: 16.5e9)
    passed: list[int] = []
    features = TransformersEncoder.image_features

    def noted(self: TransformersEncoder, pixels: Any) -> Any:
        passed.append(len(pixels))
        return features(self, pixels)

    monkeypatch.setattr(TransformersEncoder, "image_features", noted)
    rows = (scene / "photos.csv").read_text().splitlines()
    copies = []
    for i in range(40):
        copies.append(rows[1].replace("0.png", f"copy{i}.png"))
        (scene / f"copy{i}.png").write_bytes((scene / "0.png").read_bytes())
    (scene / "many.csv").write_text("\n".join([*rows, *copies]) + "\n")
    result = run(scene, tmp_path, "--batch-size", 128, "--epochs", 1, photos="many.csv")
    assert result.exit_code == 0, result.output
    assert sum(passed) == 2 * 51 and max(passed) == 13
    assert "13 photos at a time (chosen for the free memory)." in result.stderr


def test_the_published_recipe_is_overridden_by_options(scene: Path, tmp_path: Path) -> None:
    given = ("--recipe", "streetclip", "--epochs", 1)
    arguments = ["finetune", scene / "photos.csv", "--out", tmp_path, "--device", "cpu", *given]
    arguments += ["--gazetteer", scene / "places", "--model", scene / "start"]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    assert "Tuning all, " in result.stderr and "peak learning rate 1e-06;" in result.stderr
    noted = json.loads((tmp_path / "run.json").read_text())["settings"]
    assert (noted["epochs"], noted["learning_rate"], noted["warmup"]) == (1, 1e-6, 0.2)


@pytest.mark.parametrize("tune", ["lora:2", "last:1"])
def test_a_part_is_tuned_evaluated_kept_and_loads(scene: Path, tmp_path: Path, tune: str) -> None:
    settings = ("--tune", tune, "--evaluate-every", 2, "--alpha", 0.5, "--distillation", 0.1)
    result = run(scene, tmp_path, *settings)
    assert result.exit_code == 0, result.output
    assert f"Tuning {tune}, " in result.stderr
    tuned, before = weights(tmp_path), load_file(scene / "start" / "model.safetensors")
    assert tuned.keys() == before.keys()
    changed = {name for name, value in tuned.items() if not value.equal(before[name])}
    kept = "text_model.embeddings.token_embedding.weight"
    assert "vision_model.encoder.layers.1.mlp.fc1.weight" in changed and kept not in changed
    assert run(scene, tmp_path, *settings).exit_code == 0
    load_encoder(tmp_path / "encoder")


def test_photos_that_cannot_be_read_are_left_out_and_listed(scene: Path, tmp_path: Path) -> None:
    (scene / "no-photo.jpg").write_text("<html>404</html>")
    rows = (scene / "photos.csv").read_text().splitlines()
    (scene / "some.csv").write_text("\n".join([*rows, "no-photo.jpg,45.75,4.85,FR,train"]) + "\n")
    result = run(scene, tmp_path / "out", photos="some.csv")
    assert result.exit_code == 0, result.output
    assert "1 photos could not be read and were left out" in result.stderr
    listed = pd.read_csv(tmp_path / "out" / "unreadable.csv")
    assert listed["photo_id"].tolist() == ["no-photo.jpg"]
    losses = pd.read_csv(tmp_path / "out" / "losses.csv")
    assert 0 < losses["unreadable"].sum() <= 3


def test_photos_none_of_which_can_be_read_are_an_error(scene: Path, tmp_path: Path) -> None:
    (scene / "no-photo.jpg").write_text("<html>404</html>")
    (scene / "none-read.csv").write_text("path,lat,lon,split\nno-photo.jpg,45.75,4.85,train\n")
    result = run(scene, tmp_path / "out", photos="none-read.csv")
    assert result.exit_code == 2
    assert "None of the last 1 photos could be read (no-photo.jpg for one)" in result.stderr
    assert not (tmp_path / "out" / "encoder").exists()


def test_every_setting_is_an_option_with_help() -> None:
    shown = CliRunner().invoke(app, ["finetune", "--help"], env={"COLUMNS": "200"}).stdout
    shown = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    for field in (*fields(TrainingSettings), *fields(EvaluationSettings)):
        assert f"--{field.name.replace('_', '-')}" in shown
        assert field.metadata["help"] in shown


def test_what_a_run_is_made_of_is_noted(scene: Path, finished: Path) -> None:
    about = json.loads((finished / "run.json").read_text())
    assert about["model"] == str(scene / "start")
    assert about["settings"]["batch_size"] == 4
