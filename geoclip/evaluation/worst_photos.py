"""The photos whose guesses lie farthest from the truth."""

from geoclip.errors import GeoclipError
from geoclip.evaluation.matching import Given, evaluate
from geoclip.photos.photo_sheet import PhotoTable
from geoclip.places.gazetteer import Gazetteer


def worst(
    guesses: Given,
    truth: Given,
    most: int = 10,
    allow_gps: bool = False,
    gazetteer: Gazetteer | None = None,
    skip_gps: bool = False,
) -> PhotoTable:
    """The `most` photos whose point lies farthest from the truth, the farthest first.

    `guesses` and `truth` are tables or their files; see `evaluate_tables` for their columns and for
    the errors. Photos without an answer have no distance and are left out.

    Returns: One row per photo, which a notebook shows with a thumbnail: `path`, `km` off, the true
    country's code, the guessed country, its `probability` (NaN if absent), and both positions in
    degrees. The index is that of the guesses' rows of rank 1.

    >>> import pandas as pd
    >>> truth = pd.DataFrame({"path": ["a.jpg", "b.jpg"], "lat": [45.8, 0.0], "lon": [4.8, 0.0]})
    >>> worst(truth.assign(lat=[45.7, 10.0]), truth, 1)[["path", "km"]].round().values.tolist()
    [['b.jpg', 1112.0]]
    """
    if most < 1:
        raise GeoclipError(f"most is {most}; ask for at least 1 photo.")
    found = evaluate(guesses, truth, allow_gps, gazetteer, skip_gps)
    first = found.guesses
    table = PhotoTable(
        {
            "path": first["path"],
            "km": found.km,
            "true_country": found.true["country"].to_numpy(),
            "country": first["country"],
            "probability": first["probability"],
            "lat": first["lat"],
            "lon": first["lon"],
            "true_lat": found.truth["lat"].to_numpy(),
            "true_lon": found.truth["lon"].to_numpy(),
        }
    )
    answered = table[first["lat"].notna().to_numpy()]
    return PhotoTable(answered.sort_values("km", ascending=False, kind="stable").head(most))
