"""What fine-tuning says on the terminal: its steps, its progress, and what it changed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from geoclip.commands.progress import progress
from geoclip.commands.terminal import print_table
from geoclip.errors import GeoclipError

if TYPE_CHECKING:
    import pandas as pd

    from geoclip.places.gazetteer import Gazetteer
    from geoclip.training.batches import Batches
    from geoclip.training.checkpoints import Record

FEW_STEPS = 20
"""Fewer hardly change a model at rates that keep what it knows."""
MEANS = "mean/"
"""How the figures begin that are means over the splits."""
CHANGE = ("before", "after", "after − before", "95 %")


def steps_told(batches: "Batches") -> str:
    """How many steps there are, and what to do where they are few."""
    steps, settings = batches.steps, batches.settings
    several = f"{steps:,} steps" if steps > 1 else "One step"
    told = f"{several} of {min(settings.batch_size, len(batches.photos)):,} photos"
    if steps < FEW_STEPS:
        return f"{told} only: give more photos, more --epochs or a smaller --batch-size for more."
    return f"{told}."


def tell_change(
    start: str,
    tuned: Path,
    held_out: "pd.DataFrame",
    places: "Gazetteer",
    device: str | None,
    page: Path,
) -> None:
    """Show what held-out photos are answered with before and after, as a table and on a map."""
    from geoclip.evaluation.comparison_tables import difference_table  # noqa: PLC0415
    from geoclip.runs.compare_tuned import locate_held_out  # noqa: PLC0415

    try:
        found = locate_held_out(start, tuned, held_out, places, device, progress)
        if found is None:
            typer.echo("No photo of known position was held out: nothing tells what changed.")
            return
        found.write_map(page)
        rows = difference_table(found.comparison().report())[1:]
    except GeoclipError as problem:  # the training was long, and what it made is here
        typer.echo(f"Held-out photos were not located. {problem}", err=True)
        return
    columns = ("figure", *CHANGE)
    print_table(columns, rows, right=CHANGE, title="Held-out photos before and after")
    typer.echo(f"Their answers and true places: {page}")


def tell_unreadable(batches: "Batches", file: Path) -> None:
    """List the photos that were left out because they could not be read, if there are any."""
    photos = batches.photos
    unreadable = [
        (name, path)
        for name, path in zip(photos.ids, photos.paths, strict=True)
        if name in batches.unreadable
    ]
    if unreadable:
        import pandas as pd  # noqa: PLC0415

        from geoclip.training.checkpoints import writing_to  # noqa: PLC0415

        with writing_to(file.parent):
            pd.DataFrame(unreadable, columns=["photo_id", "path"]).to_csv(file, index=False)
        typer.echo(
            f"{len(unreadable):,} photos could not be read and were left out; they are in {file}.",
            err=True,
        )


@contextmanager
def step_progress(steps: int) -> Iterator[Callable[["Record"], None]]:
    """Show steps, loss and time left; each evaluation is a line."""
    done = 0
    with progress("fine-tuning", steps) as advance:

        def report(metrics: "Record") -> None:
            nonlocal done
            step = int(metrics["step"])
            advance(step - done, f"loss {metrics['loss']:.3f}")
            done = step
            if any(name.startswith(MEANS) for name in metrics):
                typer.echo(f"step {step:,}, held-out photos: {_figures(metrics)}", err=True)

        yield report


def _figures(metrics: "Record") -> str:
    """The means over the held-out splits in words."""
    if "mean/geoscore" not in metrics:  # of a table of levels
        of_levels = {name: metrics[name] for name in metrics if name.startswith(MEANS)}
        named = (name.removeprefix(MEANS).replace("_top1", "") for name in of_levels)
        return ", ".join(f"{n} {p:.1f} %" for n, p in zip(named, of_levels.values(), strict=True))
    return (
        f"GeoScore {metrics['mean/geoscore']:,.0f}, country {metrics['mean/country_top1']:.1f} %, "
        f"within 750 km {metrics['mean/within_750_km']:.1f} %"
    )
