import pytest

from geoclip.errors import GeoclipError
from pipelines.planet.facts import FACTS_FILE, CountryFacts, facts_of, read_facts
from pipelines.planet.scripts import SCRIPTS

FACTS = read_facts()


def test_namibia_is_a_country_not_a_missing_value():
    assert FACTS["NA"].drives_on == "left"
    assert FACTS["NA"].edge_line == "yellow"


@pytest.mark.parametrize("code", ["GB", "JP", "AU", "IN", "ZA", "TH", "SR", "MO", "CY"])
def test_left_hand_traffic(code):
    assert FACTS[code].drives_on == "left"


@pytest.mark.parametrize("code", ["FR", "US", "CN", "BR", "NG", "MM", "GI", "RW"])
def test_right_hand_traffic(code):
    assert FACTS[code].drives_on == "right"


def test_other_facts_known_for_certain():
    assert FACTS["US"].centre_line == "yellow" and FACTS["DE"].centre_line == "white"
    assert FACTS["NL"].plate == "yellow" and FACTS["NL"].blue_band
    assert FACTS["GR"].script == "greek" and FACTS["JP"].script == "kana"


def test_neighbours_are_mutual_and_known():
    for code, facts in FACTS.items():
        for near in facts.neighbours:
            assert code in FACTS[near].neighbours, (code, near)


def test_every_script_can_be_drawn():
    assert {facts.script for facts in FACTS.values()} == set(SCRIPTS)


def test_an_unknown_country_gets_the_commonest_facts():
    assert facts_of(FACTS, "??") == CountryFacts("??")


def test_a_meaningless_value_is_named_with_its_row(tmp_path):
    lines = FACTS_FILE.read_text().splitlines()
    lines[3] = lines[3].replace("right", "middle").replace("left", "middle")
    bad = tmp_path / "facts.csv"
    bad.write_text("\n".join(lines))
    with pytest.raises(GeoclipError, match=r"facts\.csv, row 4: drives_on is 'middle'"):
        read_facts(bad)


def test_a_missing_column_is_named(tmp_path):
    bad = tmp_path / "facts.csv"
    bad.write_text("country_code,drives_on\nFR,right\n")
    with pytest.raises(GeoclipError, match="lacks the column centre_line"):
        read_facts(bad)
