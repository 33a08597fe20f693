"""Matching of paths by their ends, against a check of every pair."""

from hypothesis import given, settings
from hypothesis import strategies as st

from geoclip.evaluation.path_ends import match_by_end

PATHS = st.lists(
    st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3).map("/".join),
    max_size=6,
    unique=True,
)


def shared(one: str, other: str) -> int:
    """Common parts of two paths' ends if one is wholly the other's end."""
    if one == other:
        return 100
    short, long = sorted((one.split("/"), other.split("/")), key=len)
    return len(short) if len(short) < len(long) and long[-len(short) :] == short else 0


@settings(max_examples=300)
@given(PATHS, PATHS)
def test_every_pair_looked_at(guesses: list[str], truth: list[str]) -> None:
    found, unclear = match_by_end(guesses, truth, lambda *_: True)
    wanted, several = [], set()
    best = [max((shared(guess, photo) for photo in truth), default=0) for guess in guesses]
    for i, guess in enumerate(guesses):
        mine = [j for j, photo in enumerate(truth) if best[i] and shared(guess, photo) == best[i]]
        several |= {i} if len(mine) > 1 else set()
        rivals = {
            k: best[k]
            for k, other in enumerate(guesses)
            for j in mine
            if best[k] and shared(other, truth[j]) == best[k]
        }
        first = max(rivals.values(), default=0)
        if mine and best[i] == first:
            several |= {i} if list(rivals.values()).count(first) > 1 else set()
        wanted.append(mine[0] if mine and best[i] == first else -1)
    assert set(unclear) == several
    clear = [i for i in range(len(guesses)) if i not in several]
    assert [found[i] for i in clear] == [wanted[i] for i in clear]


def test_pairs_that_do_not_come_into_question() -> None:
    truth = ["x/1.jpg", "y/1.jpg"]
    assert match_by_end(["1.jpg"], truth, lambda *_: True)[1] == [0]
    assert match_by_end(["1.jpg"], truth, lambda _, photo: photo == 1) == ([1], [])


def test_ways_of_writing_a_path() -> None:
    guesses = ["/data/caf\u00e9/1.jpg", "../trip/./2.jpg", "file:/x/caf%E9.jpg"]
    truth = ["caf\u00e9/1.jpg", "trip/2.jpg", "file:caf%E9.jpg"]
    assert match_by_end(guesses, truth, lambda *_: True) == ([0, 1, 2], [])


def test_a_path_of_no_name_is_no_end() -> None:
    assert match_by_end([".", "x/1.jpg"], ["x/1.jpg"], lambda *_: True) == ([-1, 0], [])
