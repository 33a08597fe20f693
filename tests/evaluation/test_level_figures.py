import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoclip.evaluation.level_figures import level_figures

LEVELS = ("continent", "country", "region", "city")
OF_CITY = {
    "Lyon": ("EU", "FR", "FR.84", "Lyon"), "Nice": ("EU", "FR", "FR.93", "Nice"),
    "Bonn": ("EU", "DE", "DE.07", "Bonn"), "Lima": ("SA", "PE", "", "Lima"), "": ("", "", "", ""),
}  # fmt: skip


def test_levels_are_shares_of_all_photos():
    named = pd.DataFrame(
        {
            "continent": ["EU", "EU", "AF", "", "EU"],
            "country": ["FR", "DE", "", "", "FR"],
            "region": ["", "DE.1", "", "", ""],
            "city": ["", "7", "", "", ""],
        }
    )
    true = pd.DataFrame(
        {
            "continent": ["EU", "EU", "AS", "EU", "EU"],
            "country": ["FR", "DE", "CN", "FR", "BE"],
            "region": ["", "DE.2", "", "", ""],
            "city": ["8", "7", "9", "3", "4"],
        }
    )
    figures = level_figures(named, true)
    assert figures["continent"] == {
        "n": 4, "answered": 80, "right": 75, "at_level": 20, "right_at_level": 0,
        "answered_by_country": pytest.approx(100 * (0.5 + 3) / 4), "right_by_country": 75,
        "at_level_by_country": 25, "right_at_level_by_country": 0,
    }  # fmt: skip
    assert figures["country"] == {
        "n": 3, "answered": 60, "right": pytest.approx(200 / 3), "at_level": 40,
        "right_at_level": 50, "answered_by_country": pytest.approx(100 * (0.5 + 1 + 1) / 4),
        "right_by_country": pytest.approx(200 / 3), "at_level_by_country": pytest.approx(37.5),
        "right_at_level_by_country": 50,
    }  # fmt: skip
    assert (figures["region"]["right"], figures["region"]["at_level"]) == (0, 0)
    assert figures["region"]["right_at_level"] is None
    assert figures["city"]["right"] == 100


def mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


@given(
    st.lists(
        st.tuples(st.sampled_from([*OF_CITY]), st.integers(0, 4), st.sampled_from([*OF_CITY])),
        min_size=1,
        max_size=25,
    )
)
def test_levels_photo_by_photo(photos):
    """Slow and independent: photos are (true city, depth of the guess, guessed city)."""
    named = [OF_CITY[guess][:depth] + ("",) * (4 - depth) for _, depth, guess in photos]
    true = [OF_CITY[city] for city, _, _ in photos]
    figures = level_figures(
        pd.DataFrame(named, columns=LEVELS, dtype=object),
        pd.DataFrame(true, columns=LEVELS, dtype=object),
    )
    countries = sorted({row[1] for row in true} - {""})
    for at, level in enumerate(LEVELS):

        def of(rows: list[int], at: int = at) -> dict[str, float | None]:
            answered = [100.0 * (named[i][at] != "") for i in rows]
            stops = [100.0 * (named[i][at] != "" and not any(named[i][at + 1 :])) for i in rows]
            known = [i for i in rows if named[i][at] and true[i][at]]
            alone = [i for i in known if not any(named[i][at + 1 :])]
            right, right_alone = (
                [100.0 * (named[i][at] == true[i][at]) for i in some] for some in (known, alone)
            )
            return {
                "answered": mean(answered),
                "right": mean(right),
                "at_level": mean(stops),
                "right_at_level": mean(right_alone),
            }

        plain = of(list(range(len(photos))))
        apart = [of([i for i, row in enumerate(true) if row[1] == code]) for code in countries]
        for name, value in plain.items():
            found = figures[level]
            assert found[name] == (None if value is None else pytest.approx(value))
            means = [one[name] for one in apart if one[name] is not None]
            expected = mean(means) if means else None
            by_country = found[f"{name}_by_country"]
            assert by_country == (None if expected is None else pytest.approx(expected))
