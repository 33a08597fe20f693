"""The settings that a model folder carries."""

import pytest

from geoclip.errors import GeoclipError
from geoclip.places.captions import CaptionSettings
from geoclip.ranking.model_settings import SETTINGS_FILE, ModelSettings
from geoclip.ranking.ranking import RankingSettings


def test_written_and_read_again(tmp_path):
    settings = ModelSettings(
        CaptionSettings(opening="Ein Foto", city_prompts=("{city}", "{city} ({country})")),
        RankingSettings(method="greedy", temperatures=(0.5, 1.5, 2.0), point_cities=7),
    )
    settings.write(tmp_path)
    assert ModelSettings.read(tmp_path) == settings


def test_defaults_where_there_is_no_folder_or_file(tmp_path):
    default = ModelSettings(CaptionSettings(), RankingSettings())
    assert ModelSettings.read(None) == ModelSettings.read(tmp_path) == ModelSettings() == default
    assert ModelSettings.read(tmp_path / "nowhere") == default


def test_what_is_left_out_stays_as_it_is(tmp_path):
    (tmp_path / SETTINGS_FILE).write_text('{"ranking": {"temperatures": [2, 3, 4]}}')
    assert ModelSettings.read(tmp_path) == ModelSettings(
        ranking=RankingSettings(temperatures=(2, 3, 4))
    )


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "3",
        '{"captions": []}',
        '{"captions": "A"}',
        '{"ranking": {"temperature": 3}}',
        '{"ranking": {"method": "best"}}',
        '{"ranking": {"temperatures": 3}}',
        '{"ranking": {"temperatures": [1, 1]}}',
        '{"ranking": {"temperatures": ["1", 1, 1]}}',
        '{"ranking": {"temperatures": [1, NaN, 1]}}',
        '{"ranking": {"point_cities": "many"}}',
        '{"captions": {"city_prompts": "{city}"}}',
        '{"captions": {"city_prompts": ["{place}"]}}',
        '{"captions": {"country_prompts": []}}',
        '{"captions": {"keep_city": "often"}}',
    ],
)
def test_anything_else_is_refused_by_name(tmp_path, text):
    (tmp_path / SETTINGS_FILE).write_text(text)
    with pytest.raises(GeoclipError) as caught:
        ModelSettings.read(tmp_path)
    assert str(tmp_path / SETTINGS_FILE) in str(caught.value)
    assert "delete or mend it" in str(caught.value)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / SETTINGS_FILE).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(GeoclipError, match="not readable"):
        ModelSettings.read(tmp_path)


def test_a_tuned_model_has_seen_more_countries_and_states_no_radius():
    ranking = RankingSettings(seen_countries=("FR", "US"), seen_penalty=0.2, radius_share=0.5)
    tuned = ModelSettings(CaptionSettings(opening="A photo"), ranking).tuned(["NZ", "FR", "NZ"])
    assert tuned.captions.opening == "A photo"
    assert tuned.ranking.seen_countries == ("FR", "NZ", "US")
    assert (tuned.ranking.seen_penalty, tuned.ranking.radius_share) == (0.2, 0.0)
    assert ModelSettings().tuned(["NZ"]) == ModelSettings()
