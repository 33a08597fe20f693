"""Captions and prompts, and the truth matrix against a loop written from its definition."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_world import CITIES, COUNTRIES, REGIONS, place_table

from geoclip.errors import GeoclipError
from geoclip.places.captions import (
    COUNTRIES_WITH_ARTICLE,
    FALSE,
    TRUE,
    UNKNOWN,
    Caption,
    CaptionBook,
    CaptionSettings,
    distinct,
    truth_matrix,
)
from geoclip.places.gazetteer import Gazetteer
from geoclip.support.seeds import seeded_uniforms

SMALL = Gazetteer(place_table(COUNTRIES, REGIONS, CITIES))
BOOK = CaptionBook(SMALL)
ROWS = st.integers(0, len(SMALL) - 1)


@pytest.fixture(scope="module")
def world_book(world):
    return CaptionBook(world)


def slow_truth(photo_row: int, caption: Caption, gazetteer: Gazetteer) -> int:
    """The definition, with ids and parents: true before unknown before false."""
    photo = gazetteer.ids[photo_row]
    above_photo = [photo, *gazetteer.parents_of(photo)]
    named = [gazetteer.ids[row] for row in caption.rows]
    if any(place in above_photo for place in named):
        return TRUE
    if any(photo in gazetteer.parents_of(place) for place in named):
        return UNKNOWN
    return FALSE


def row_of(place_id: str) -> int:
    return int(SMALL.rows([place_id])[0])


captions = st.builds(BOOK.caption, ROWS, st.booleans(), st.booleans())


# Texts of other wordings could be shared by a place and one above it: any rows must do.
any_captions = st.builds(Caption, st.just("text"), st.lists(ROWS, min_size=1).map(tuple))


@given(st.lists(ROWS, max_size=8), st.lists(captions | any_captions, max_size=8))
def test_truth_equals_the_slow_loop(photo_rows, drawn):
    truth = truth_matrix(np.array(photo_rows, dtype=np.int64), drawn, SMALL.ancestors)
    expected = [[slow_truth(row, caption, SMALL) for caption in drawn] for row in photo_rows]
    assert truth.shape == (len(photo_rows), len(drawn))
    assert truth.dtype == np.int8
    assert truth.tolist() == expected


def test_truth_equals_the_slow_loop_in_the_packaged_world(world, world_book):
    book, rng = world_book, np.random.default_rng(0)
    shared = next(rows for rows in book._rows_by_text.values() if len(rows) > 2)
    photo_rows = np.r_[rng.choice(len(world), 60), shared, world.ancestors[list(shared), 0]]
    drawn = [book.draw(int(row), 0, 0, str(i)) for i, row in enumerate(photo_rows)]
    truth = truth_matrix(photo_rows, drawn, world.ancestors)
    expected = [[slow_truth(row, caption, world) for caption in drawn] for row in photo_rows]
    assert truth.tolist() == expected
    assert set(np.unique(truth)) == {TRUE, FALSE, UNKNOWN}


def test_truth_of_a_few_pairs_by_hand():
    france, paris = row_of("FR"), row_of("paris")
    drawn = [
        BOOK.caption(row_of("lyon"), with_region=False),
        BOOK.caption(row_of("lyon"), with_city=False, with_region=False),
        BOOK.caption(row_of("denis1"), with_region=False),  # of either region
        BOOK.caption(row_of("amsterdam")),
    ]
    labels = np.array([france, paris, row_of("FR.84"), row_of("denis2")])
    assert truth_matrix(labels, drawn, SMALL.ancestors).tolist() == [
        [UNKNOWN, TRUE, UNKNOWN, FALSE],
        [FALSE, TRUE, FALSE, FALSE],
        [UNKNOWN, TRUE, UNKNOWN, FALSE],
        [FALSE, TRUE, TRUE, FALSE],
    ]


def test_a_photo_is_never_contradicted_by_its_own_caption(world, world_book):
    book = world_book
    for row in range(0, len(world), 311):
        own = [book.draw(row, 1, epoch, "p") for epoch in range(4)]
        assert (truth_matrix(np.array([row]), own, world.ancestors) == TRUE).all()


def test_texts():
    lyon = row_of("lyon")
    opening = "A Street View photo"
    assert BOOK.text(lyon) == (
        f"{opening} close to the town of Lyon in the region of Auvergne-Rhône-Alpes in France."
    )
    assert BOOK.text(lyon, with_region=False) == f"{opening} close to the town of Lyon in France."
    assert BOOK.text(lyon, False, False) == BOOK.text(row_of("FR")) == f"{opening} in France."
    assert BOOK.text(lyon, with_city=False) == BOOK.text(row_of("FR.84"))
    assert BOOK.text(row_of("kowloon")) == f"{opening} close to the town of Kowloon in Hong Kong."
    assert BOOK.text(row_of("NL")) == f"{opening} in the Netherlands."


@given(ROWS, st.booleans(), st.booleans())
def test_a_caption_lists_every_place_with_its_text(row, with_city, with_region):
    caption = BOOK.caption(row, with_city, with_region)
    chain = SMALL.ancestors[row]
    assert set(caption.rows) & set(chain[chain >= 0])
    every = [(place, c, r) for place in range(len(SMALL)) for c in (0, 1) for r in (0, 1)]
    sharing = {place for place, c, r in every if BOOK.text(place, c, r) == caption.text}
    # Places below whose text only omits their own name are not named by it.
    above = {place: set(SMALL.rows(SMALL.parents_of(SMALL.ids[place]))) for place in sharing}
    lowest = {place for place in sharing if not above[place] & sharing}
    assert set(caption.rows) == lowest


def test_every_place_of_the_packaged_world_is_in_its_own_caption(world, world_book):
    book = world_book
    for row in range(0, len(world), 23):
        assert row in book.caption(row).rows
        assert row in book.caption(row, with_region=False).rows or world.levels[row] == 1


def test_many_cities_share_city_and_country(world, world_book):
    book = world_book
    cities = world.level_rows("city")
    sharing = [row for row in cities if len(book.caption(row, with_region=False).rows) > 1]
    assert len(sharing) == 1855
    names = {tuple(world.names[list(book.caption(row, with_region=False).rows)]) for row in sharing}
    assert all(len(set(alike)) == 1 for alike in names)


@given(ROWS, st.integers(0, 2**40), st.integers(0, 1000), st.text(max_size=20))
def test_a_draw_depends_on_seed_epoch_and_photo_alone(row, seed, epoch, photo_id):
    fresh = CaptionBook(SMALL)
    fresh.draw(0, 5, 5, "another photo in between")
    drawn = BOOK.draw(row, np.int64(seed), np.int32(epoch), photo_id)
    assert drawn == fresh.draw(row, seed, epoch, photo_id)
    city, region = seeded_uniforms(2, "caption", seed, epoch, photo_id)
    assert drawn == BOOK.caption(row, city < 0.4, region < 0.6)


def test_a_draw_varies_with_each_of_seed_epoch_and_photo():
    keys = [
        ("caption", seed, epoch, photo) for seed in (0, 1) for epoch in (0, 1) for photo in "ab"
    ]
    assert len({tuple(seeded_uniforms(2, *key)) for key in keys}) == len(keys)
    # A changed draw would give a resumed run other captions.
    assert seeded_uniforms(2, "caption", 0, 0, "a.jpg") == pytest.approx(UNIFORMS, abs=1e-15)


UNIFORMS = [0.023520307777574967, 0.8098992671437107]


def test_uniforms_are_uniform():
    values = np.array([seeded_uniforms(8, "key", i) for i in range(4000)])
    assert values.shape == (4000, 8)
    assert ((values >= 0) & (values < 1)).all()
    shares = np.histogram(values, bins=10, range=(0, 1))[0] / values.size
    assert shares == pytest.approx(np.full(10, 0.1), abs=0.01)
    assert abs(np.corrcoef(values.T) - np.eye(8)).max() < 0.08
    with pytest.raises(ValueError, match="buffer"):
        seeded_uniforms(9, "key")


def test_draws_keep_as_often_as_the_settings_say():
    book = CaptionBook(SMALL, CaptionSettings(keep_city=0.25, keep_region=0.7))
    lyon, n = row_of("lyon"), 8000
    texts = [book.draw(lyon, 3, 0, f"{i}.jpg").text for i in range(n)]
    city, region = (np.array([name in text for text in texts]) for name in ("Lyon", "Auvergne"))
    assert city.mean() == pytest.approx(0.25, abs=0.02)
    assert region.mean() == pytest.approx(0.7, abs=0.02)
    assert (city & region).mean() == pytest.approx(0.25 * 0.7, abs=0.02)  # independent
    assert all(text.endswith("in France.") for text in texts)


@pytest.mark.parametrize("keep", [0.0, 1.0])
def test_keeping_never_and_always(keep):
    book = CaptionBook(SMALL, CaptionSettings(keep_city=keep, keep_region=keep))
    texts = {book.draw(row_of("lyon"), 0, 0, str(i)).text for i in range(50)}
    assert texts == {book.text(row_of("lyon"), bool(keep), bool(keep))}


NAMED = pd.DataFrame(
    {
        "place_id": ["lyon", "lyon", "FR", "FR.84", "denis1", "denis2"],
        "name": ["Lugdunum", "Lione", "La France", "ARA", "Paname", "Paname"],
    }
)


def mixed_book(keep_official: float) -> CaptionBook:
    named = Gazetteer(place_table(COUNTRIES, REGIONS, CITIES), NAMED)
    return CaptionBook(named, CaptionSettings(keep_official=keep_official))


def test_a_drawn_caption_may_use_another_name_of_the_place_that_it_names():
    book, n, lyon = mixed_book(0.7), 6000, row_of("lyon")
    texts = pd.Series([book.draw(lyon, 0, 0, f"{i}.jpg").text for i in range(n)])
    # The draw of levels is the same as without other names.
    levels = [BOOK.draw(lyon, 0, 0, f"{i}.jpg").text for i in range(n)]
    assert (texts == pd.Series(levels)).mean() == pytest.approx(0.7, abs=0.02)
    for name in ("Lugdunum", "Lione"):
        own = texts.str.contains(f"town of {name} in")
        assert own.mean() == pytest.approx(0.4 * 0.3 / 2, abs=0.01)
    assert texts.str.endswith("region of ARA in France.").mean() == pytest.approx(0.108, abs=0.02)
    assert texts.str.endswith("photo in La France.").mean() == pytest.approx(0.072, abs=0.02)


def test_another_name_is_true_of_every_place_that_has_it():
    book = mixed_book(0.0)
    labels = np.array([row_of("denis1"), row_of("denis2"), row_of("lyon"), row_of("FR")])
    drawn = [book.draw(row_of("denis1"), 0, epoch, "p") for epoch in range(40)]
    both = next(c for c in drawn if c.text.endswith("town of Paname in France."))
    assert set(both.rows) == {row_of("denis1"), row_of("denis2")}
    assert truth_matrix(labels, [both], SMALL.ancestors).T.tolist() == [
        [TRUE, TRUE, FALSE, UNKNOWN]
    ]


def test_a_place_without_another_name_keeps_its_own():
    book = mixed_book(0.0)
    assert book.draw(row_of("kowloon"), 0, 0, "p") == BOOK.draw(row_of("kowloon"), 0, 0, "p")
    assert book.text(row_of("lyon")) == BOOK.text(row_of("lyon"))
    assert book.prompts(row_of("lyon")) == BOOK.prompts(row_of("lyon"))


def test_extra_captions_are_alike_for_equal_seed_and_step():
    rows = np.arange(len(SMALL))
    first = BOOK.draw_extra(rows, 6, seed=4, step=9)
    assert first == CaptionBook(SMALL).draw_extra(rows, 6, seed=4, step=9)
    others = [BOOK.draw_extra(rows, 6, seed, step) for seed, step in ((4, 10), (5, 9))]
    assert first not in others


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 40))
def test_extra_captions_have_no_duplicates(seed, step, count):
    rows = SMALL.level_rows("city")
    extra = BOOK.draw_extra(rows, count, seed, step)
    assert len({caption.text for caption in extra}) == len(extra) <= min(count, len(rows))
    assert BOOK.draw_extra(rows[:0], count, seed, step) == []


def test_distinct_keeps_the_first_of_each_text():
    a, b = BOOK.caption(0), BOOK.caption(1)
    assert distinct([b, a, b, a]) == [b, a]


def test_prompts_leave_out_a_region_that_is_not_there():
    assert BOOK.prompts(row_of("kowloon")) == ["A Street View photo from Kowloon, Hong Kong."]
    assert BOOK.prompts(row_of("FR")) == ["A Street View photo in France."]
    assert BOOK.prompts(row_of("amsterdam")) == [
        "A Street View photo from Amsterdam, the Netherlands.",
        "A Street View photo close to the town of Amsterdam in the region of North Holland in "
        "the Netherlands.",
    ]


def test_prompts_where_all_templates_name_a_region():
    book = CaptionBook(SMALL, CaptionSettings(city_prompts=("{city}, {region}, {country}",)))
    assert book.prompts(row_of("lyon")) == ["Lyon, Auvergne-Rhône-Alpes, France"]
    assert book.prompts(row_of("kowloon")) == [book.text(row_of("kowloon"))]


def test_no_prompt_of_the_packaged_world_has_a_gap(world, world_book):
    book = world_book
    for row in range(0, len(world), 7):
        for prompt in book.prompts(row):
            assert world.names[row] in prompt
            assert not re.search(r"  | ,| of in |\{|\}|the the|^\s|the The", prompt), prompt


def test_articles(world, world_book):
    assert set(world.ids[world.level_rows("country")]) >= COUNTRIES_WITH_ARTICLE
    book = world_book
    phrases = {code: book.country_phrase(int(world.rows([code])[0])) for code in world.ids[:250]}
    assert phrases["US"] == "the United States"
    assert phrases["FR"] == "France"
    assert phrases["CZ"] == "Czechia"
    plural = [code for code, name in phrases.items() if name.endswith("Islands")]
    alone = {"GS", "HM"}  # named after islands that take none
    assert {code for code in plural if not phrases[code].startswith("the ")} <= alone


def test_a_name_with_its_own_article_gets_no_second():
    countries = [("GM", "The Gambia", "AF", "GM")]
    named = Gazetteer(place_table(countries, [], [("b", "Banjul", "GM", 13.4, -16.6, 1)]))
    assert CaptionBook(named).country_phrase(0) == "The Gambia"


@pytest.mark.parametrize(
    "wrong",
    [
        {"keep_city": 1.5},
        {"keep_region": float("nan")},
        {"keep_official": -1},
        {"city_prompts": ()},
        {"city_prompts": "{city}, {country}"},
        {"city_prompts": ("{town}",)},
        {"city_prompts": ("{city",)},
        {"city_prompts": ("{city.name}",)},
        {"city_prompts": (3,)},
        {"country_prompts": ("{city}",)},
        {"region_prompts": ("{city} in {region}",)},
    ],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(GeoclipError, match=next(iter(wrong))):
        CaptionSettings(**wrong)


def test_repr_says_what_it_holds():
    assert "10 cities" in repr(BOOK)
    assert "keep_city=0.4" in repr(BOOK)
