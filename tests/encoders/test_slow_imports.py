"""Libraries that are slow to import stay out of programs that do not need them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import open_clip
from hub_layouts import LAYOUTS, write_layout
from PIL import Image
from tiny_encoders import write_transformers_clip

SLOW = ("open_clip", "timm", "transformers", "torchvision", "torch._dynamo", "geopandas", "scipy")


def loaded_by(program: str, *arguments: object) -> set[str]:
    """The slow libraries that a program has imported at its end."""
    code = f"{program}\nimport sys\nprint('loaded:', *({set(SLOW)!r} & set(sys.modules)))"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split()[1:])


LOCATE = """
import json, sys
from geoclip.commands.app import app
from geoclip.encoders.clip_tokens import tokenizer_module

texts, tokens = (json.loads(sys.argv.pop()) for _ in range(2))
app(standalone_mode=False)
assert tokenizer_module().tokenize(texts, context_length=20).tolist() == tokens
"""


def test_a_first_answer_waits_for_no_library_that_it_does_not_need(tmp_path: Path) -> None:
    """Texts still become open_clip's tokens."""
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    texts = ["Ōsaka, 日本 & co. 3½", "  It's  &amp;lt; FAR\t", "🗻 naïve ﬁ", "<end_of_text> ! !"]
    tokens = open_clip.SimpleTokenizer(context_length=20)(texts).tolist()
    out = tmp_path / "guesses.csv"
    options = ("locate", tmp_path / "a.png", "--out", out)
    assert loaded_by(LOCATE, *options, json.dumps(tokens), json.dumps(texts)) == set()
    assert out.read_text().startswith("path,rank,")


def test_folders_of_transformers_need_no_open_clip(tmp_path: Path) -> None:
    siglip = next(x for x in LAYOUTS if x.hub_id == "google/siglip-base-patch16-224")
    folders = write_transformers_clip(tmp_path / "clip"), write_layout(siglip, tmp_path / "siglip")
    program = (
        "import sys\nfrom geoclip.encoders import load_encoder\n"
        "for folder in sys.argv[1:]:\n    load_encoder(folder).encode_texts(['Lyon'])"
    )
    assert not loaded_by(program, *folders) & {"open_clip", "timm"}
