import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from geoclip.support.paths import decode_path, encode_path, resolve_path, same_file_key


def test_ordinary_names_stand_as_they_are():
    for name in ("a.jpg", "Málaga 50%.jpg", "a\nb.jpg", "/x/y z.jpg", "日本/東京.png"):
        assert encode_path(name) == name
        assert decode_path(name) == Path(name)


def test_a_latin_1_name_becomes_a_file_uri_and_leads_back():
    name = os.fsdecode(b"photos/caf\xe9 50%.jpg")
    assert encode_path(name) == "file:photos/caf%E9%2050%25.jpg"
    assert os.fspath(decode_path(encode_path(name))) == name


@given(st.binary(min_size=1).filter(lambda name: b"\0" not in name))
def test_every_file_name_becomes_text_and_leads_back(name):
    path = Path(os.fsdecode(name))
    text = encode_path(path)
    text.encode("utf-8")
    assert encode_path(text) == text
    if not os.fspath(path).startswith("file:"):
        assert decode_path(text) == path


def test_absolute_uris_of_other_programs_are_read():
    assert decode_path("file:///srv/a%20b.jpg") == Path("/srv/a b.jpg")


def test_resolve_is_relative_to_the_folder(tmp_path):
    assert resolve_path("b/c.jpg", tmp_path) == str(tmp_path / "b/c.jpg")
    assert resolve_path("/b/c.jpg", tmp_path) == "/b/c.jpg"
    assert resolve_path("file:caf%E9.jpg", tmp_path).endswith("/caf%E9.jpg")


def test_spellings_of_one_file_share_a_key(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    keys = {
        same_file_key(text, tmp_path)
        for text in ("real/a.jpg", "link/a.jpg", "./real/../link/a.jpg", f"{tmp_path}/real/a.jpg")
    }
    assert keys == {os.path.realpath(tmp_path / "real/a.jpg")}


def test_a_zero_byte_is_no_path_of_a_file(tmp_path):
    assert same_file_key("a\0.jpg", tmp_path) == "a\0.jpg"
