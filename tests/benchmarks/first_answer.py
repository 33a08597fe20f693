"""Time until `geoclip locate one.jpg` has answered, beside its unavoidable parts.

That is the import of torch, and for plain open_clip import and bare load of the model.

    python -m tests.benchmarks.first_answer [--model FOLDER]

All are new processes, in turn; the first always finds an empty cache, as on a new machine.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from geoclip.encoders.registry import CHECKPOINTS
from tests.benchmarks.inputs import make_photos
from tests.benchmarks.timing import ROUNDS, interleaved, report, use_threads

LOAD = """
import sys
import open_clip
open_clip.create_model_from_pretrained("local-dir:" + sys.argv[1])
"""
LOCATE = "from geoclip.commands.launcher import run_command; run_command()"


def main() -> None:
    """Print the medians, and by how much the first exceeds the others."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=CHECKPOINTS / "street-tiny")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    model = str(given.model)
    use_threads(given.threads)  # the new processes inherit it
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        photo = str(make_photos(home / "photos", 12, 1)[0])

        def run(program: str, *arguments: str) -> None:
            cache = tempfile.mkdtemp(dir=home)
            subprocess.run(
                [sys.executable, "-c", program, *arguments],
                env=os.environ | {"GEOCLIP_CACHE": cache},
                check=True,
                capture_output=True,
            )

        sides = interleaved(
            {
                "locate": lambda: run(LOCATE, "locate", photo, "--model", model),
                "import_and_load": lambda: run(LOAD, model),
                "import_torch": lambda: run("import torch"),
            },
            given.rounds,
        )
    more = {
        name: {
            clock: round(sides["locate"][clock] - side[clock], 2) for clock in ("wall_s", "cpu_s")
        }
        for name, side in sides.items()
        if name != "locate"
    }
    report("first_answer", given.threads, sides=sides, more=more)


if __name__ == "__main__":
    main()
