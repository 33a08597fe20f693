"""The C library's setting is taken or left, never an error."""

import sys

from geoclip.support import memory


def test_says_whether_the_setting_was_taken():
    assert memory.keep_freed_memory() in (True, False)


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert memory.keep_freed_memory() is False


def test_a_c_library_without_the_call_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    assert memory.keep_freed_memory() is False
