"""The settings that a model folder carries."""

import json
from pathlib import Path

import pytest

from geoclip.encoders.registry import CHECKPOINTS
from geoclip.errors import GeoclipError
from geoclip.places.captions import CaptionSettings
from geoclip.ranking.conformal import Calibration, ConformalRadii
from geoclip.ranking.model_settings import SETTINGS_FILE, ModelSettings, settings_folder
from geoclip.ranking.settings import (
    UNCALIBRATED,
    PointEstimate,
    Prior,
    RankingSettings,
    Temperatures,
)

JUDGED = ModelSettings(CaptionSettings(prefix="A test"), RankingSettings(radius_share=0.5))
OLD_STREET_TINY = Path(__file__).parent / "data" / "street_tiny_version_1.json"


def test_written_and_read_again(tmp_path):
    settings = ModelSettings(
        CaptionSettings(prefix="Ein Foto", city_prompts=("{city}", "{city} ({country})")),
        RankingSettings(
            temperatures=Temperatures(0.5, 1.5, 2.0), point=PointEstimate.expected_score(7)
        ),
    )
    greedy = ModelSettings(
        ranking=RankingSettings(
            method="greedy",
            greedy_cities=7,
            point=PointEstimate.city(),
            prior=Prior(("FR", "US"), 0.2),
            radius_share=0.5,
        )
    )
    calibrated = ModelSettings(
        ranking=RankingSettings(
            temperatures=Temperatures(continent=1.5),
            calibration=Calibration(70, ConformalRadii((50.0, 800.0), (2.0, 1.5, 1.0))),
        )
    )
    for one in (settings, greedy, calibrated, ModelSettings()):
        one.write(tmp_path)
        assert ModelSettings.read(tmp_path) == one


def test_the_file_says_its_version_and_who_wrote_it(tmp_path):
    ModelSettings().write(tmp_path)
    stored = json.loads((tmp_path / SETTINGS_FILE).read_text())
    assert stored["version"] == 2
    assert stored["geoclip"]
    assert "null" not in (tmp_path / SETTINGS_FILE).read_text()


def test_defaults_where_there_is_no_folder_or_file(tmp_path):
    default = ModelSettings(CaptionSettings(), UNCALIBRATED)
    assert ModelSettings.read(None) == ModelSettings.read(tmp_path) == ModelSettings() == default
    assert ModelSettings.read(tmp_path / "nowhere") == default


def test_what_is_left_out_stays_as_it_is(tmp_path):
    old = '{"ranking": {"temperatures": [2, 3, 4]}}'
    new = '{"version": 2, "ranking": {"temperatures": {"country": 2, "region": 3, "city": 4}}}'
    for text in (old, new):
        (tmp_path / SETTINGS_FILE).write_text(text)
        assert ModelSettings.read(tmp_path) == ModelSettings(
            ranking=RankingSettings(temperatures=Temperatures(2, 3, 4))
        )


def read_version_1(tmp_path: Path, **ranking: object) -> RankingSettings:
    (tmp_path / SETTINGS_FILE).write_text(json.dumps({"ranking": ranking}))
    return ModelSettings.read(tmp_path).ranking


def test_what_shipped_with_version_1_reads_as_it_did(tmp_path):
    old = OLD_STREET_TINY.read_text()
    assert "version" not in json.loads(old)
    (tmp_path / SETTINGS_FILE).write_text(old)
    settings = ModelSettings.read(tmp_path)
    now = ModelSettings.read(CHECKPOINTS / "street-tiny")
    assert settings.captions == now.captions
    assert settings.ranking.temperatures == now.ranking.temperatures
    assert settings.ranking.prior == now.ranking.prior
    seen = tuple(json.loads(old)["ranking"]["seen_countries"])
    assert settings.ranking == RankingSettings(
        temperatures=Temperatures(1.5, 1.5, 1.5),
        point=PointEstimate.expected_score_regions(1.7),
        prior=Prior(seen, 0.15, 0.1),
        radius_share=0.5,
    )


def test_a_file_of_version_1_held_all_settings_those_without_an_effect_too(tmp_path):
    everything = {
        "method": "joint", "point": "expected_score", "temperatures": [2.0, 2.0, 2.0],
        "greedy_cities": 12, "point_cities": 50, "point_temperature": 1.7, "radius_share": 0.5,
        "seen_countries": ["FR"], "seen_penalty": 0.2, "size_power": 0.1,
    }  # fmt: skip
    prior = Prior(("FR",), 0.2, 0.1)
    temperatures, fifty = Temperatures(2.0, 2.0, 2.0), PointEstimate.expected_score(50)
    joint = RankingSettings("joint", temperatures, fifty, prior, radius_share=0.5)
    assert read_version_1(tmp_path, **everything) == joint
    greedy = RankingSettings(
        "greedy", Temperatures(), fifty, Prior(("FR",), 0.2), greedy_cities=12, radius_share=0.5
    )
    assert read_version_1(tmp_path, **everything | {"method": "greedy"}) == greedy
    city = read_version_1(tmp_path, **everything | {"point": "city", "seen_penalty": 0.0})
    assert city.point == PointEstimate.city()
    assert city.prior == Prior(country_size_exponent=0.1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '{"version": 2, "geoclip": "9.8.7", "ranking": {"warmth": 3}}',
            "ranking has the unknown key 'warmth'; geoclip 9.8.7 wrote the file",
        ),
        (
            '{"version": 2, "geoclip": "9.8.7", "ranking": {"prior": {"size_power": 3}}}',
            "prior has the unknown key 'size_power'; geoclip 9.8.7 wrote the file",
        ),
        (
            '{"version": 2, "geoclip": "9.8.7", "gallery": {}}',
            "the file has the unknown key 'gallery'; geoclip 9.8.7 wrote the file",
        ),
        (
            '{"ranking": {"warmth": 3}}',
            "ranking has the unknown key 'warmth'; geoclip of version 0.1.0 or before wrote",
        ),
        ('{"version": 3, "geoclip": "9.8.7"}', "version 3 of geoclip 9.8.7"),
    ],
)
def test_an_unknown_key_says_which_version_wrote_it(tmp_path, text, said):
    (tmp_path / SETTINGS_FILE).write_text(text)
    with pytest.raises(GeoclipError) as caught:
        ModelSettings.read(tmp_path)
    assert str(tmp_path / SETTINGS_FILE) in str(caught.value)
    assert said in str(caught.value)


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
        '{"version": 2, "ranking": []}',
        '{"version": 2, "ranking": {"temperatures": [2, 3, 4]}}',
        '{"version": 2, "ranking": {"temperatures": {"city": "1"}}}',
        '{"version": 2, "ranking": {"temperatures": {"city": NaN}}}',
        '{"version": 2, "ranking": {"point": "city"}}',
        '{"version": 2, "ranking": {"point": {"cities": 3}}}',
        '{"version": 2, "ranking": {"point": {"rule": "city", "cities": 3}}}',
        '{"version": 2, "ranking": {"greedy_cities": 3}}',
        '{"version": "two"}',
        '{"version": [2]}',
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
    ranking = RankingSettings(prior=Prior(("FR", "US"), 0.2, 0.1), radius_share=0.5)
    tuned = ModelSettings(CaptionSettings(prefix="A photo"), ranking).tuned(["NZ", "FR", "NZ"])
    assert tuned.captions.prefix == "A photo"
    assert tuned.ranking.prior == Prior(("FR", "NZ", "US"), 0.2, 0.1)
    assert tuned.ranking.radius_share == 0.0
    assert ModelSettings().tuned(["NZ"]) == ModelSettings()


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("GEOCLIP_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def test_the_settings_of_a_folder_lie_in_it(tmp_path, data):
    assert settings_folder(tmp_path) == settings_folder(str(tmp_path)) == tmp_path
    JUDGED.write(tmp_path)
    assert ModelSettings.of_model(tmp_path) == JUDGED


@pytest.mark.parametrize(
    "names",
    [
        ("streetclip", "hf:geolocal/StreetCLIP", "hf-hub:geolocal/StreetCLIP"),
        ("clip-b-32", "ViT-B-32-quickgelu:openai", "hf:timm/vit_base_patch32_clip_224.openai"),
        ("hf:some/one", "hf-hub:some/one"),
        ("ViT-B-16:laion400m_e32",),
    ],
)
def test_those_of_a_hub_model_lie_in_the_users_data_under_any_of_its_names(names, data):
    assert ModelSettings.of_model(names[0]) == ModelSettings()
    own = settings_folder(names[0])
    assert own.parent == data / "models"
    own.mkdir(parents=True)
    JUDGED.write(own)
    assert [ModelSettings.of_model(name) for name in names] == [JUDGED] * len(names)
    assert ModelSettings.of_model("siglip") == ModelSettings.of_model("hf:other/one")


def test_an_embedded_model_is_not_written_to(data):
    folder = CHECKPOINTS / "street-tiny"
    assert ModelSettings.of_model("street-tiny") == ModelSettings.read(folder)
    own = settings_folder("street-tiny")
    assert own == settings_folder(folder) == data / "models" / "street-tiny"
    own.mkdir(parents=True)
    JUDGED.write(own)
    assert ModelSettings.of_model(folder) == JUDGED
    start = CHECKPOINTS / "planet-start"
    assert ModelSettings.of_model(start) == ModelSettings.read(start)
