"""Each benchmark of speed runs at a tiny size and prints figures that make sense; no timing."""

import importlib
import json
import math
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
SMALL = ["--model", "ViT-S-32", "--rounds", "1"]


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a benchmark in this process and gives what it printed."""
    monkeypatch.syspath_prepend(str(ROOT))
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")  # and back to what it was
    threads = torch.get_num_threads()

    def run_benchmark(name: str, *options: str) -> dict:
        monkeypatch.setattr("sys.argv", [name, *options])
        importlib.import_module(f"tests.benchmarks.{name}").main()
        printed = json.loads(capsys.readouterr().out)
        assert printed["threads"] == 1 and printed["cores"] >= 1
        return printed

    yield run_benchmark
    torch.set_num_threads(threads)


def check_sides(sides: dict, names: set[str]) -> None:
    assert set(sides) == names
    for side in sides.values():
        assert side["wall_s"] > 0 and side["cpu_s"] >= 0 and len(side["runs_wall_s"]) == 1


def test_first_answer(run):
    said = run("first_answer", "--threads", "1", "--rounds", "1")
    others = {"import_and_load", "import_torch"}
    check_sides(said["sides"], {"locate", *others})
    assert set(said["more"]) == others
    for more in said["more"].values():
        assert more["wall_s"] < said["sides"]["locate"]["wall_s"]
    assert all(side["cpu_s"] > 0.1 for side in said["sides"].values())  # of the other processes


def test_ranking(run):
    figures = run("ranking", "--photos", "3", "--width", "8", "--rounds", "1")
    regions = "expected score of regions"
    check_sides(figures["sides"], {"product", "city", "expected score", regions, "levels"})
    assert figures["cities"] > 30_000
    assert figures["city_over_product"]["wall"] > 0


def test_gallery(run):
    pytest.importorskip("faiss")
    figures = run("gallery", "--rows", "3000", "--width", "16", "--queries", "4", "--rounds", "1")
    check_sides(figures["sides"], {"geoclip", "library", "brute force"})
    assert figures["recall_at_10"] > 0.9 and figures["tuning"]["rows"] == 3000
    assert figures["geoclip_over_library"]["wall"] > 0


@pytest.mark.parametrize("library", ["open_clip", "transformers"])
def test_text_index(run, library):
    figures = run("text_index", "--captions", "8", "--library", library, *SMALL)
    for name in ("full captions", "short prompts"):
        check_sides(figures[name]["sides"], {library, "geoclip"})
        assert figures[name]["texts"] == figures[name]["distinct"] == 8
        assert figures[name]["largest_difference"] < 1e-5  # often it is none at all


def test_precision(run):
    figures = run("precision", "--photos", "1", *SMALL)
    check_sides(figures["sides"], {"fp32", "bf16", "auto"} | figures["sides"].keys() & {"int8"})
    assert figures["auto"] in ("fp32", "bf16")
    assert figures["over_fp32"]["bf16"]["cpu"] > 0 and figures["trial_in_photos"] > 0
    assert 0.99 < figures["cosine"]["bf16"] < 0.9999999


def test_training_step(run):
    figures = run("training_step", "--batch", "3", *SMALL)
    check_sides(figures["sides"], {"open_clip", "geoclip"})
    assert 1 <= figures["distinct_captions"] <= figures["batch"] == 3


def test_training_step_in_both_precisions(run):
    figures = run("training_step", "--precisions", "--batch", "3", *SMALL)
    check_sides(figures["sides"], {"fp32", "bf16"})
    assert figures["bf16_over_fp32"]["wall"] > 0


def test_same_backbone_says_that_the_other_side_is_skipped(run):
    figures = run("same_backbone", "--photos", "2", "--megapixels", "0.1", *SMALL)
    check_sides(figures["sides"], {"image tower", "geoclip-gzsl"})
    assert "skipped" in figures["other"] and "times_faster" not in figures


@pytest.mark.slow
def test_memory_of_gradient_caching(run, monkeypatch):
    monkeypatch.chdir(ROOT)
    figures = run("training_step", "--memory", "2", "4", "--chunk", "2", *SMALL)
    assert all(500 < peak < 20_000 for peak in figures["peak_mb"])


@pytest.mark.slow
def test_locate_slope(run, monkeypatch):
    monkeypatch.chdir(ROOT)
    tiny = ["--few", "2", "--many", "4", "--megapixels", "0.1", "--distinct", "2"]
    figures = run("locate_slope", *tiny, *SMALL)
    assert set(figures["cpu_s_median"]) == {"slope", "start_up", "encoder", "decode", "ratio"}
    assert all(map(math.isfinite, figures["cpu_s_median"].values()))
    assert figures["cpu_s_median"]["encoder"] > 0 and len(figures["ratio_runs"]) == 1


def test_shards(run):
    figures = run("shards", "--megabytes", "1", "--rounds", "1")
    assert figures["photos"] > 1 and figures["shards"] == 1
    assert 0 < figures["gets"] <= figures["gets_at_most"]
    assert set(figures["read_and_decoded"]["photos_a_second"]) == {"local", "s3"}


def test_stages(run):
    figures = run("stages", "--photos", "2", *SMALL)
    assert set(figures["core_ms_a_photo"]) == {"decoding", "beside encoding", "ranking", "encoding"}
    sizes = figures["bytes_a_photo"]
    assert sizes["decoded"] - 3 * 224**2 < 1000  # a byte a channel
    assert 0 < sizes["encoded"] < sizes["decoded"]
