import pytest

from geoclip.commands import terminal
from geoclip.commands.report_table import print_report


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


def test_a_report_shows_how_captions_do(capsys: pytest.CaptureFixture[str]) -> None:
    shares = {"1": 12.34, "5": 56.7, "10": 90.0}
    way = {"recall": shares, "chance": {"1": 0.2, "5": 0.8, "10": 1.7}}
    retrieval = {"after": {"image_to_text": way, "text_to_image": way}}
    probe = {"after": {"wrong_country": 99.3, "wrong_city": None, "both": 51.0, "n": 300}}
    report = {"retrieval": {"seen": retrieval}, "composition": {"seen": probe}}
    print_report({"splits": {}, "gzsl": {}, **report})
    shown = capsys.readouterr().out
    assert shown.count("12.3 56.7 90.0") == 2 and shown.count("0.2 0.8 1.7") == 2
    assert "99.3" in shown and "–" in shown and "51.0" in shown
