import pytest

from geoclip.commands import terminal


def test_numbers_are_never_cut(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table of many numbers is wider than the terminal; texts are folded first."""
    monkeypatch.setattr(terminal, "PIPE_WIDTH", 40)
    name, numbers = "a name of many words " * 4, [f"{n} (10.0 to 20.0)" for n in range(4)]
    terminal.print_table(["photo", *"abcd"], [[name, *numbers]], right="abcd", title="Title")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Title")
    assert all(number in lines[4] for number in numbers)
    assert "".join(line.split("│")[1].strip() for line in lines[4:-1] if "│" in line).replace(
        " ", ""
    ) == name.replace(" ", "")


def test_cells_are_no_markup_and_control_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.print_table(["x"], [["[red]a\x1b[31m"]])
    assert "[red]a\\x1b[31m" in capsys.readouterr().out
