"""The help of all commands: no word of the field stands there unexplained, no sign is lost."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from geoclip.commands.app import app

JARGON = (
    "posterior", "prior", "logit", "ledger", "journal", "evidence", "shard", "embedding", "tower",
    "abstain", "abstention", "glob", "probe", "recall", "temperature", "admin-1", "gazetteer",
)  # fmt: skip
NAMES = re.compile(r"--[a-z-]+|`[^`]*`|\bOUT\S*")
"""Options, commands and files, whose names are what they are."""


def commands(group: Any = None, name: str = "geoclip") -> Iterator[tuple[str, Any]]:
    group = group or get_command(app)
    yield name, group
    for word, command in getattr(group, "commands", {}).items():
        yield from commands(command, f"{name} {word}")


def told(command: Any) -> str:
    """Its help and that of its arguments and options, without names."""
    texts = [command.help, *(getattr(option, "help", None) for option in command.params)]
    return NAMES.sub("", "\n".join(filter(None, texts)))


@pytest.mark.parametrize(("name", "command"), list(commands()))
def test_words_of_the_field_are_explained_where_they_first_stand(name: str, command: Any) -> None:
    """An explanation stands in brackets behind the word, or the word behind an explanation."""
    text = told(command)
    for word in JARGON:
        first = re.search(rf"\b{word}(s|ed|ing)?\b", text)
        if first:
            before, behind = text[: first.start()], text[first.end() :]
            in_brackets = before.count("(") > before.count(")")
            assert in_brackets or re.match(r"( of a place)? \(", behind), (name, word, text)


def test_the_default_model_is_named_and_patterns_are_shown_whole() -> None:
    shown = CliRunner().invoke(app, ["locate", "--help"], env={"COLUMNS": "300"}).stdout
    assert "street-tiny" in shown
    assert "*_small.jpg" in shown and "trip/raw/*" in shown and "trip/*.jpg" in shown
