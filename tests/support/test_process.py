"""Freed memory is kept where the C library can; garbage collection pauses and goes on."""

import gc
import platform
import sys
from collections.abc import Iterator

import pytest

from geoclip.support import process
from geoclip.support.process import free_memory, keep_freed_memory, made_to_last


def test_glibc_takes_the_setting_and_others_do_not():
    assert keep_freed_memory() is (platform.libc_ver()[0] == "glibc")


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory() is False


def test_a_c_library_without_the_call_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(process.ctypes, "CDLL", lambda name: object())
    assert keep_freed_memory() is False


@pytest.fixture(autouse=True)
def search_as_before() -> Iterator[None]:
    gc.unfreeze()  # a test that runs the command leaves its own objects
    yield
    gc.enable()
    gc.unfreeze()


def test_what_is_made_meanwhile_is_passed_over_and_the_search_goes_on():
    with made_to_last():
        assert not gc.isenabled()
        made = [[i] for i in range(100)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= len(made)
    assert not any(item is made for item in gc.get_objects())


def test_an_error_lets_the_search_go_on_and_keeps_nothing():
    with pytest.raises(KeyError), made_to_last():
        raise KeyError
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_where_the_search_is_off_it_stays_off():
    gc.disable()
    with made_to_last():
        assert not gc.isenabled()
    assert not gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_free_memory_is_that_of_the_machine_where_no_group_limits_it(tmp_path):
    machine = free_memory(tmp_path)
    assert 2**20 < machine < 2**50


@pytest.mark.parametrize("version", [1, 2])
def test_a_limit_of_a_control_group_or_of_one_above_it_counts(tmp_path, version):
    line, mount, limit, used, cached = {
        1: ("5:cpu,memory:/job/step", "memory", "limit_in_bytes", "usage_in_bytes", "total_"),
        2: ("0::/job/step", "", "max", "current", ""),
    }[version]
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(f"1:name=systemd:/\n{line}\n")
    job = tmp_path / "sys/fs/cgroup" / mount / "job"
    (job / "step").mkdir(parents=True)
    unlimited = "max" if version == 2 else str(2**63 - 4096)
    (job / "step" / f"memory.{limit}").write_text(f"{unlimited}\n")
    (job / "step" / f"memory.{used}").write_text("5000\n")
    (job / f"memory.{limit}").write_text("9000\n")
    (job / f"memory.{used}").write_text("6000\n")
    (job / "memory.stat").write_text(f"anon 100\n{cached}inactive_file 500\n")
    assert free_memory(tmp_path) == 3500
    (job / f"memory.{used}").write_text("90000\n")
    assert free_memory(tmp_path) == 0
