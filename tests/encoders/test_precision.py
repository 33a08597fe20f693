"""Precision: its scope, how "auto" finds the fastest, and its exceptions."""

import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_encoders import clip_encoder, random_tiny_clip, timm_encoder
from torch.nn import functional as F

from geoclip.encoders import precision as precision_module
from geoclip.encoders.precision import (
    PRECISIONS,
    bears_half,
    check_precision,
    computing_in,
    kept_finding,
    of_gpu,
    try_out,
)
from geoclip.errors import GeoclipError
from geoclip.photos.keys import encoder_key, tower_key

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
TEXTS = ["A Street View photo in Peru.", "A Street View photo from Saint-Denis, Réunion."]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GEOCLIP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def pixels() -> torch.Tensor:
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


class Clock:
    """Stands for processor time: work in a precision takes its seconds for each photo."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **seconds: float | Iterator[float]) -> None:
        self.now = 0.0
        self.seconds = seconds
        self.calls: list[tuple[str, int]] = []
        monkeypatch.setattr(precision_module.time, "process_time", lambda: self.now)

    def work(self, precision: str, photos: int) -> None:
        each = self.seconds[precision]
        self.now += photos * (each if isinstance(each, float) else next(each))
        self.calls.append((precision, photos))


@torch.inference_mode()
def test_photos_and_texts_are_those_of_the_librarys_own_mixed_precision(pixels):
    encoder = random_tiny_clip()
    full = encoder.encode_pixels(pixels), encoder.encode_texts(TEXTS)
    encoder.for_photos("bf16")
    with torch.autocast("cpu", torch.bfloat16):
        expected = (
            encoder.model.encode_image(pixels),
            encoder.model.encode_text(encoder.tokenizer(TEXTS)),
        )
    assert all(features.dtype == torch.bfloat16 for features in expected)
    found = encoder.encode_pixels(pixels), encoder.encode_texts(TEXTS)
    for own, half, whole in zip(found, expected, full, strict=True):
        assert own.dtype == np.float32
        np.testing.assert_allclose(own, F.normalize(half.float(), dim=-1), atol=2e-2)
        assert 1e-5 < np.abs(own - whole).max() < 5e-2  # rounded, but no more
    np.testing.assert_allclose(np.linalg.norm(found[0], axis=1), 1, atol=1e-6)


def test_no_weight_is_copied_for_each_token(pixels):
    """That took 14 times the time of float32, in products of 3 dimensions."""
    encoder = random_tiny_clip().for_photos("bf16")
    with torch.profiler.profile(record_shapes=True) as profile:
        encoder.encode_pixels(pixels)
    calls = {event.key for event in profile.key_averages()}
    assert "aten::addmm" in calls and "aten::bmm" not in calls


def test_nothing_else_is_rounded(pixels):
    """Training uses `image_features`, in any precision of photos."""
    encoder = random_tiny_clip()
    plain = encoder.image_features(pixels)
    encoder.for_photos("bf16")
    assert torch.equal(encoder.image_features(pixels), plain)
    assert encoder.encode_pixels(pixels).tolist() != plain.tolist()


@pytest.mark.parametrize("name", ["fp8", "", "float32"])
def test_an_unknown_precision_is_refused(name):
    with pytest.raises(GeoclipError, match="bf16"):
        check_precision(name, CPU)


@pytest.mark.parametrize("name", ["fp16", "tf32"])
def test_what_only_gpus_have_is_refused_on_a_processor(name):
    with pytest.raises(GeoclipError, match="for GPUs"):
        random_tiny_clip().for_photos(name)
    check_precision(name, CUDA)


def test_half_precisions_are_autocast(monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "autocast", lambda *given: asked.append(given) or nullcontext())
    for name in PRECISIONS[1:]:
        with computing_in(name, CUDA):
            pass
    assert asked == [("cuda", torch.bfloat16), ("cuda", torch.float16)]


def test_tf32_holds_within_and_ends_with_an_error():
    before = torch.get_float32_matmul_precision()
    with pytest.raises(ZeroDivisionError), computing_in("tf32", CUDA):
        assert torch.get_float32_matmul_precision() == "high"
        raise ZeroDivisionError
    assert torch.get_float32_matmul_precision() == before == "highest"


@pytest.mark.parametrize(("has_it", "found"), [(True, "bf16"), (False, "fp16")])
def test_auto_on_a_gpu_is_the_half_precision_that_it_has(monkeypatch, has_it, found):
    def supported(including_emulation: bool = True) -> bool:
        return has_it or including_emulation  # PyTorch says yes even if it only emulates

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert of_gpu(CUDA) == found
    assert of_gpu(torch.device("mps")) == "fp32"


@pytest.mark.parametrize(
    ("bf16", "found"),
    [(0.3, "bf16"), (0.89, "bf16"), (0.95, "fp32"), (1.5, "fp32"), (14.0, "fp32")],
)
def test_a_trial_finds_what_is_faster_by_a_margin(monkeypatch, cache, bf16, found):
    clock = Clock(monkeypatch, fp32=1.0, bf16=bf16)
    model = random_tiny_clip().model
    assert kept_finding("photos", model) is None
    assert try_out("photos", model, clock.work) == found
    assert kept_finding("photos", model) == found
    assert clock.now <= 0.03 * precision_module.WORTH_A_TRIAL  # the promise of the rule
    if bf16 > 2:
        assert clock.calls.count(("bf16", 1)) == 1 and len(clock.calls) == 3


def test_a_small_tower_that_half_precision_slows_ends_its_trial_at_the_second_look(
    monkeypatch, cache
):
    clock = Clock(monkeypatch, fp32=0.1, bf16=1.0)
    assert try_out("photos", random_tiny_clip().model, clock.work) == "fp32"
    assert clock.calls.count(("bf16", 1)) == 2 and len(clock.calls) == 4
    assert clock.now <= 0.03 * 0.1 * precision_module.WORTH_A_TRIAL


def test_one_disturbed_pass_decides_nothing(monkeypatch, cache):
    disturbed = iter([1.0, 1.0, 9.0, 1.0])
    clock = Clock(monkeypatch, fp32=disturbed, bf16=0.95)
    assert try_out("photos", random_tiny_clip().model, clock.work) == "fp32"


def test_what_is_made_once_does_not_end_a_trial(monkeypatch, cache):
    """A small tower's first pass in another precision is many times as slow as the next."""
    clock = Clock(monkeypatch, fp32=0.01, bf16=iter([0.5, 0.003, 0.003, 0.003]))
    assert try_out("photos", random_tiny_clip().model, clock.work) == "bf16"


def test_a_finding_is_of_one_machine_and_one_shape(monkeypatch, cache):
    clock = Clock(monkeypatch, fp32=1.0, bf16=0.5)
    model = random_tiny_clip().model
    try_out("photos", model, clock.work)
    assert kept_finding("training", model) is None
    assert kept_finding("photos", clip_encoder().model) is None
    with monkeypatch.context() as other:
        other.setattr(precision_module.platform, "node", lambda: "another")
        assert kept_finding("photos", model) is None
    with monkeypatch.context() as other:
        other.setattr(torch, "get_num_threads", lambda: 77)
        assert kept_finding("photos", model) is None
    assert kept_finding("photos", random_tiny_clip().model) == "bf16"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"precision": "fp8"}', '{"precision": 1}'])
def test_a_damaged_finding_is_none(monkeypatch, cache, content):
    clock = Clock(monkeypatch, fp32=1.0, bf16=0.5)
    model = random_tiny_clip().model
    try_out("photos", model, clock.work)
    (file,) = (cache / "precision").iterdir()
    assert json.loads(file.read_text())["precision"] == "bf16"
    file.write_text(content)
    assert kept_finding("photos", model) is None


def test_a_cache_that_cannot_be_written_is_no_failure(monkeypatch, cache):
    cache.write_text("a file where the folder should be")
    clock = Clock(monkeypatch, fp32=1.0, bf16=0.5)
    assert try_out("photos", random_tiny_clip().model, clock.work) == "bf16"


def test_auto_is_settled_by_a_long_job_and_then_known_to_short_ones(monkeypatch, cache, pixels):
    tried = []
    find = precision_module.try_out

    def noted(what, model, work):
        tried.append(what)
        clock = Clock(monkeypatch, fp32=1.0, bf16=0.5)
        work("bf16", 2)  # the encoder's own passes run
        return find(what, model, clock.work)

    monkeypatch.setattr("geoclip.encoders.encoder.try_out", noted)
    encoder = random_tiny_clip().for_photos("auto")
    plain = encoder.encode_pixels(pixels)
    encoder.expect(999)
    assert encoder.precision == "fp32" and not tried
    np.testing.assert_array_equal(encoder.encode_pixels(pixels), plain)
    encoder.expect(1000)
    assert encoder.precision == "bf16" and tried == ["photos"]
    assert encoder.encode_pixels(pixels).tolist() != plain.tolist()
    later = random_tiny_clip().for_photos("auto")
    later.expect(1)
    assert later.precision == "bf16" and tried == ["photos"]
    np.testing.assert_array_equal(later.encode_texts(TEXTS), random_tiny_clip().encode_texts(TEXTS))
    named = random_tiny_clip().for_photos("fp32")
    named.expect(1000)
    assert named.precision == "fp32"


def test_convolutional_towers_stay_in_full_precision_by_themselves(monkeypatch):
    monkeypatch.setattr("geoclip.encoders.encoder.kept_finding", lambda *_: "bf16")
    encoder = timm_encoder(full_vocabulary=True)
    assert not bears_half(encoder.image_tower) and bears_half(random_tiny_clip().image_tower)
    encoder.for_photos("auto").expect(1000)
    assert encoder.precision == "fp32"
    assert encoder.for_photos("bf16").precision == "bf16"


def test_keys_tell_precisions_apart(monkeypatch):
    encoder = random_tiny_clip()
    key = encoder_key(encoder)
    assert encoder_key(encoder.for_photos("fp32")) == encoder_key(encoder.for_photos("auto")) == key
    assert encoder_key(encoder.for_photos("bf16")) != key
    assert tower_key(encoder.for_photos("bf16")) == key


def test_photos_pass_a_compiled_tower(monkeypatch, pixels):
    passed = []

    def fake(call, **_):
        def compiled(*given):
            passed.append(call)
            return call(*given)

        return compiled

    monkeypatch.setattr(torch, "compile", fake)
    encoder = random_tiny_clip()
    plain = encoder.encode_pixels(pixels)
    assert not passed
    encoder.for_photos(compile=True)
    passed.clear()  # the compiler's trial
    np.testing.assert_array_equal(encoder.encode_pixels(pixels), plain)
    assert len(passed) == 1
    encoder.encode_texts(TEXTS)
    assert len(passed) == 1


def test_a_machine_that_cannot_compile_is_told_at_once(monkeypatch):
    def broken(call, **_):
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(GeoclipError, match=r"no C\+\+ compiler"):
        random_tiny_clip().for_photos(compile=True)
