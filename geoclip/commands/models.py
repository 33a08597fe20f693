"""`geoclip models`: the known encoders; `geoclip models convert`: a pickle into safetensors."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from geoclip.commands.terminal import print_table
from geoclip.encoders.hub import check_weights, find_pickle, weights_folder
from geoclip.encoders.registry import KNOWN_MODELS, KnownModel
from geoclip.errors import GeoclipError
from geoclip.ranking.model_settings import ModelSettings

models_app = typer.Typer(
    help="List the known models, or convert weights.", invoke_without_command=True
)


@models_app.callback()
def models(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """List the known models: size, licence, place of the weights, what loads and is calibrated."""
    if ctx.invoked_subcommand is not None:
        return
    described = [_describe(model) for model in KNOWN_MODELS.values()]
    if as_json:
        typer.echo(json.dumps(described, indent=2))
        return
    columns = ("name", "MB", "licence", "weights", "here", "loads", "calibrated", "note")
    rows = [
        (
            model["name"],
            str(model["size_mb"]),
            model["licence"],
            model["weights"],
            "yes" if model["on_this_machine"] else "no",
            _LOADS[model["loads"]],
            "yes" if model["calibrated"] else "no",
            model["note"],
        )
        for model in described
    ]
    print_table(columns, rows, right=("MB",))
    for model in described:
        if model["problem"]:
            typer.echo(f"{model['name']} does not load: {model['problem']}")
    typer.echo("Absent weights are downloaded when the model is first named with --model.")


_LOADS = {True: "yes", False: "no", None: ""}


def _describe(model: KnownModel) -> dict[str, Any]:
    folder = weights_folder(model)
    problem = _problem(model) if folder else ""
    pickle = find_pickle(model.hub_id) if model.kind == "transformers" and not folder else None
    here = pickle.parent if pickle else folder
    return {
        "name": model.name,
        "kind": model.kind,
        "reference": model.reference,
        "size_mb": model.size_mb,
        "licence": model.licence,
        "note": "a pickle, converted when first named" if pickle else model.note,
        "weights": f"hf:{model.hub_id}" if model.hub_id else "in the package",
        "on_this_machine": here is not None,
        "folder": str(here) if here else None,
        "loads": not problem if here else None,
        "problem": problem,
        "calibrated": ModelSettings.of_model(model.name).ranking.calibrated,
    }


def _problem(model: KnownModel) -> str:
    """Why a model on this machine does not load, "" if it does, as far as its files tell."""
    try:
        check_weights(model)
    except GeoclipError as problem:
        return str(problem)
    return ""


@models_app.command()
def convert(
    file: Annotated[Path, typer.Argument(help="A .bin or .pt file with a state dict.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the new file; the file's own if not given.")
    ] = None,
) -> None:
    """Turn pickled weights into safetensors, once; no code in the file is run."""
    from geoclip.encoders.conversion import convert_state_dict  # noqa: PLC0415

    typer.echo(f"Wrote {convert_state_dict(file, out)}; the original is unchanged.")
