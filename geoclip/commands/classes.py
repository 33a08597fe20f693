"""`geoclip classes`: models compared on folders of classes of the user's own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geoclip.commands.options import MODEL_HELP, DeviceOption
from geoclip.commands.terminal import SOME_UNREAD, print_table, printable
from geoclip.encoders.registry import check_model_name

if TYPE_CHECKING:
    from geoclip.evaluation.class_folders import ClassFolders


def classes(
    folder: Annotated[Path, typer.Argument(help="Folder that holds a folder of photos a class.")],
    *,
    model: Annotated[list[str], typer.Option(help=f"{MODEL_HELP} May be repeated.")],
    prompt: Annotated[
        list[str] | None,
        typer.Option(
            help='Words for a class, with {} for its name (default: "a photo of a {}."); several '
            "are averaged."
        ),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(help="CSV table of them, with the columns class and prompt."),
    ] = None,
    train: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the same classes, to learn from by nearest photos and a classifier."
        ),
    ] = None,
    per_class: Annotated[bool, typer.Option("--per-class", help="A table of the classes.")] = False,
    out: Annotated[Path | None, typer.Option(help="All figures as a .json file.")] = None,
    device: DeviceOption = None,
) -> None:
    """Compare models on photos of your own classes, by words and by photos to learn from.

    For instance: geoclip classes photos/ --model clip-b-32 --model siglip-b --prompt "a {} street"

    Exits with 3 where some photos could not be read; they have no part in the figures.
    """
    for name in model:
        check_model_name(name)
    from json import dumps  # noqa: PLC0415

    from geoclip.encoders.loading import load_encoder  # noqa: PLC0415
    from geoclip.evaluation.class_folders import ClassFolders, prompts_of  # noqa: PLC0415
    from geoclip.evaluation.html_page import write_text  # noqa: PLC0415
    from geoclip.locator import default_device  # noqa: PLC0415
    from geoclip.runs.classify_folders import classify_folders  # noqa: PLC0415
    from geoclip.runs.run_files import check_output  # noqa: PLC0415

    check_output(out, "--out", (".json",))
    photos = ClassFolders.open(folder)
    known = None if train is None else ClassFolders.open(train, photos.names)
    texts = prompts_of(photos.names, prompt or [], prompts)
    report: dict[str, dict[str, Any]] = {}
    unread: dict[str, str] = {}
    for name in model:
        encoder = load_encoder(name, device or default_device(), for_photos=True).for_photos()
        found = classify_folders(encoder, photos, texts, known)
        report[name], unread = found.methods, unread | found.unread
    _show(report, photos)
    if per_class:
        _show_classes(report)
    if out is not None:
        write_text(out, dumps(report, indent=2) + "\n")
        typer.echo(f"Wrote {out}", err=True)
    for reason in unread.values():
        typer.echo(printable(reason), err=True)
    if unread:
        raise typer.Exit(SOME_UNREAD)


def _show(report: dict[str, dict[str, Any]], photos: "ClassFolders") -> None:
    rows = [
        [model, method, f"{one['n']:,}", *_cells([one["accuracy"], one["balanced"]]), *tops]
        for model, methods in report.items()
        for method, one in methods.items()
        for tops in [_cells(list(one["top_k"].values())[1:])]
    ]
    first = next(iter(next(iter(report.values())).values()))
    tops = [f"top {k}, %" for k in list(first["top_k"])[1:]]
    columns = ("model", "method", "photos", "accuracy, %", "mean over classes, %", *tops)
    print_table(columns, rows, right=columns[2:], title=f"{len(photos.names):,} classes")


def _show_classes(report: dict[str, dict[str, Any]]) -> None:
    columns = ("class", "photos", "right, %", "of those called so, %", "most often taken for")
    for model, methods in report.items():
        for method, figures in methods.items():
            rows = [
                [name, str(one["n"]), *_cells([one["recall"], one["precision"]]), one["taken_for"]]
                for name, one in figures["classes"].items()
            ]
            print_table(columns, rows, right=columns[1:4], title=f"{model}, {method}")


def _cells(values: list[float | None]) -> list[str]:
    return ["–" if value is None else f"{value:.1f}" for value in values]
