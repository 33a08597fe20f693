"""`geoclip mix`: starting and tuned weights, mixed and measured side by side (WiSE-FT)."""

from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geoclip.commands.evaluate import AsJson
from geoclip.commands.options import DeviceOption, GazetteerOption
from geoclip.commands.progress import progress
from geoclip.encoders.registry import KNOWN_MODELS, check_model_name
from geoclip.errors import GeoclipError

if TYPE_CHECKING:
    import pandas as pd

    from geoclip.places.gazetteer import Gazetteer


def mix(
    start: Annotated[str, typer.Argument(help="The model that was tuned: a name or a folder.")],
    tuned: Annotated[str, typer.Argument(help="What became of it: a folder.")],
    photos: Annotated[
        list[Path],
        typer.Option(help="CSV files of photos of known place; train ones are left out."),
    ],
    alpha: Annotated[
        str, typer.Option(help="Shares of the tuned weights, with commas between them.")
    ] = "0,0.25,0.5,0.75,1",
    out: Annotated[
        Path | None, typer.Option(help="Write one mix to this new model folder.")
    ] = None,
    keep: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of the tuned weights in that mix.")
    ] = None,
    json: AsJson = False,
    gazetteer: GazetteerOption = None,
    device: DeviceOption = None,
) -> None:
    """Average the weights of a model before and after tuning, and compare the mixes.

    A mix often keeps what tuning taught and forgets less (WiSE-FT). All are ranked as TUNED says.
    Means over countries stand beside plain figures. Where the splits are seen and unseen, S and U
    are the right answers among places seen and not seen in training, H their harmonic mean. For
    instance: geoclip mix clip-b-32 runs/mine/encoder --photos photos.csv --out mix
    --keep 0.5
    """
    from geoclip.commands.report_table import print_report  # noqa: PLC0415 - pandas is slow to import
    from geoclip.encoders import load_encoder  # noqa: PLC0415
    from geoclip.locator import default_device  # noqa: PLC0415
    from geoclip.places.gazetteer import Gazetteer  # noqa: PLC0415
    from geoclip.ranking.model_settings import ModelSettings  # noqa: PLC0415
    from geoclip.training.mixing import (  # noqa: PLC0415
        alphas_of,
        mix_figures,
        mixed,
        refuse_folder,
        write_mix,
    )

    alphas = alphas_of(alpha)
    if (out is None) != (keep is None):
        raise GeoclipError("--out and --keep go together: which mix to write, and where.")
    if out is not None:
        refuse_folder(out)
    for name in (start, tuned):
        check_model_name(name)
    places = Gazetteer.read(gazetteer)
    table = _photos(photos, places)
    both = [load_encoder(name, device or default_device()) for name in (start, tuned)]
    settings = ModelSettings.of_model(tuned)
    measured = int((table["split"] != "train").sum())
    report: dict[str, Any] = {"splits": {}, "gzsl": {}}
    with progress("measuring", measured * len(alphas)) as advance:
        for share in alphas:
            encoder = mixed(both[0], both[1], share).for_photos()
            figures = mix_figures(encoder, settings, table, places, advance)
            for part, by_name in figures.items():
                for name, own in by_name.items():
                    report[part].setdefault(name, {})[f"{share:g}"] = own
    if json:
        typer.echo(dumps(report, indent=2, allow_nan=False))
    else:
        print_report(report, {f"{share:g}": f"alpha {share:g}" for share in alphas})
    if out is not None and keep is not None:
        write_mix(mixed(both[0], both[1], keep), settings, out)
        if start in KNOWN_MODELS:
            licence = KNOWN_MODELS[start].licence
            typer.echo(f"{start} is under {licence}, and so is the mix.", err=True)
        typer.echo(f"Wrote {out}: geoclip locate PHOTOS --model {out}", err=True)


def _photos(tables: list[Path], places: "Gazetteer") -> "pd.DataFrame":
    """The labelled photos that are there; those of a table without splits are all measured."""
    from geoclip.photos.photo_table import read_photo_table  # noqa: PLC0415
    from geoclip.training.photo_set import label_photos  # noqa: PLC0415

    labelled = label_photos(read_photo_table(tables), places)
    labelled["split"] = labelled["split"].where(labelled["split"] != "", "photos")
    there = labelled[labelled["fingerprint"] != 0]
    measured = there[(there["split"] != "train") & there["lat"].notna()]
    if measured.empty:
        raise GeoclipError(
            f"{', '.join(map(str, tables))}: no photo of known position outside split 'train' is "
            "there; nothing can be measured."
        )
    absent = len(labelled) - len(there)
    if absent:
        typer.echo(f"{absent:,} photos are missing and left out.", err=True)
    return there[(there["split"] == "train") | there["lat"].notna()]
