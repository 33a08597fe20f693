"""The page of a comparison: its tables and a map of wins."""

import numpy as np

from geoclip.evaluation.comparison import Comparison
from geoclip.evaluation.comparison_tables import comparison_tables, test_sentences
from geoclip.evaluation.html_page import file_names, heading, page, sentences, table
from geoclip.evaluation.metrics import Report
from geoclip.evaluation.svg_figures import Dots, world_map

COLOURS = {"first": "#c2410c", "second": "#1769c2", "ties": "#64748b"}


def comparison_page(comparison: Comparison, report: Report, names: tuple[str, str]) -> str:
    """A self-contained page: the tables and a map of wins. `names` are the two sets' names."""
    truth, outcome = comparison.first.truth, comparison.outcome
    titles = np.array(file_names(truth), dtype=object)
    legends = {"first": "first is nearer", "second": "second is nearer", "ties": "equal"}
    layers = []
    for side, colour in COLOURS.items():
        own = outcome == side
        lat, lon = truth["lat"].to_numpy()[own], truth["lon"].to_numpy()[own]
        layers.append(Dots(legends[side], colour, lat, lon, titles[own]))
    parts = [sentences([f"first: {names[0]}", f"second: {names[1]}", *test_sentences(report)])]
    for title, rows in comparison_tables(report).items():
        parts += [heading(title), table(rows)]
    parts += [
        heading("Who is nearer, photo by photo"),
        world_map(layers, "Each photo at its true place."),
    ]
    return page("Two sets of guesses compared", parts)
