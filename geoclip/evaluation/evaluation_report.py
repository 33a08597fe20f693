"""The figures of an evaluation beside baselines, the oracle and the leak check."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from geoclip.evaluation.baselines import Truth, gazetteer_baselines
from geoclip.evaluation.evaluation import Evaluation
from geoclip.evaluation.leaks import can_hash, find_leaks
from geoclip.evaluation.metrics import Report
from geoclip.evaluation.oracle import oracle_figures
from geoclip.evaluation.true_classes import true_classes

MOST_NAMED = 3
REASONS = {
    "location_id": "the location_id",
    "author": "the author",
    "coordinates": "the coordinates (to 11 m)",
    "picture": "the picture (perceptual hash)",
}


def evaluation_report(
    evaluation: Evaluation,
    train: pd.DataFrame | None = None,
    with_oracle: bool = False,
    photo_hashes: bool = True,
) -> Report:
    """`Evaluation.report` and more parts.

    With a training table (of `read_training_table`): `constant`, the best constant answers chosen
    on it (None without coordinates), `chance` and `leaks`, see `find_leaks`. With `with_oracle`:
    `oracle`, the best figures that the gazetteer allows. Without a training table `constant` and
    `chance` are None.
    """
    report = evaluation.report() | {"constant": None, "chance": None}
    truth = evaluation.truth
    if train is not None:
        world = evaluation.gazetteer
        test, trained = _truth(truth, evaluation.true), _truth(train, true_classes(train, world))
        report |= gazetteer_baselines(trained, test, world)
        report["leaks"] = find_leaks(train, truth, photo_hashes and can_hash()).report()
    if with_oracle:
        report["oracle"] = oracle_figures(truth["lat"], truth["lon"], evaluation.gazetteer)
    return report


def uncounted_sentences(evaluation: Evaluation) -> list[str]:
    """A sentence for each kind of guess or photo that does not count as usual, with some names."""
    missing = evaluation.truth.loc[~np.isfinite(evaluation.km) & ~evaluation.abstained, "photo_id"]
    counts = {
        "guesses ignored for photos that are not in the truth": evaluation.unmatched,
        f"of {evaluation.n} photos have no answer: counted as misses": tuple(missing),
    }
    told = [f"{len(names)} {what} ({_some(names)})." for what, names in counts.items() if names]
    if evaluation.skipped:
        told.append(f"{evaluation.skipped} photos left out that answer with their own GPS.")
    return told


def _some(names: Sequence[str]) -> str:
    return ", ".join([*names[:MOST_NAMED], *(["…"] if len(names) > MOST_NAMED else [])])


def leak_warnings(leaks: Mapping[str, object], n: int) -> list[str]:
    """One sentence for each kind of leak between test and training photos."""
    sentences = [
        f"{leaks[reason]} of {n} photos share {words} with a training photo."
        for reason, words in REASONS.items()
        if leaks.get(reason)
    ]
    if not leaks.get("hashed"):
        sentences.append(
            "The pictures themselves were not compared with the training photos: that needs "
            "geoclip-gzsl[leaks] and the files of both tables."
        )
    return sentences


def _truth(photos: pd.DataFrame, classes: pd.DataFrame) -> Truth:
    return Truth(
        np.asarray(photos["lat"], dtype=float),
        np.asarray(photos["lon"], dtype=float),
        classes["country"].to_numpy(),
        classes["continent"].to_numpy(),
    )
