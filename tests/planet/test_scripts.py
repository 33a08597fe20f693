from itertools import combinations

import numpy as np
from PIL import Image

from pipelines.planet.canvas import UNITS, Canvas
from pipelines.planet.scripts import SCRIPTS, draw_writing


def written(script: str, order: int = 0b0101, size: int = 64) -> np.ndarray:
    canvas = Canvas(Image.new("L", (size, size)).convert("RGB"))
    draw_writing(canvas, script, (8, 40, UNITS - 8, 80), (255, 255, 255), order)
    return np.asarray(canvas.image)[..., 0] > 0


def test_no_two_scripts_look_alike():
    pictures = {script: written(script) for script in SCRIPTS}
    for a, b in combinations(SCRIPTS, 2):
        assert (pictures[a] != pictures[b]).mean() > 0.02, (a, b)


def test_writing_stays_in_its_box():
    for script in SCRIPTS:
        rows, columns = np.nonzero(written(script))
        assert rows.min() >= 18 and rows.max() <= 42
        assert columns.min() >= 2 and columns.max() <= 62


def test_the_order_chooses_the_glyphs():
    assert (written("greek", 0b0101) != written("greek", 0b1010)).any()


def test_an_unknown_script_is_written_as_latin():
    assert (written("runes") == written("latin")).all()


def test_strokes_lie_in_their_cell():
    for glyphs in SCRIPTS.values():
        assert all(0 <= value <= 1 for glyph in glyphs for stroke in glyph for value in stroke)
