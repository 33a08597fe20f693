"""A page, its headings, sentences and tables: one HTML file without scripts.

It loads nothing. All texts are escaped.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import pandas as pd

from geoclip.errors import GeoclipError
from geoclip.evaluation.metrics import Report
from geoclip.support.files import write_for_user

ATTRIBUTION = (
    "Places: GeoNames, geonames.org, licensed CC BY 4.0. Outlines: Natural Earth, public domain."
)
STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 78rem; padding: 1rem; color: #1d2733; background: #fff;
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.4rem; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 1.6rem 0 .4rem; }
p, ul { margin: .3rem 0 .6rem; }
.table { overflow-x: auto; margin-bottom: 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #e1e7ed; text-align: right;
  white-space: nowrap; }
th { color: #52606f; font-weight: 600; vertical-align: bottom; white-space: normal; }
th:first-child, td:first-child { padding-left: 0; text-align: left; }
td:first-child { min-width: 7rem; white-space: normal; overflow-wrap: anywhere; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr));
  gap: 1rem; }
figure { margin: 0; }
.charts figure { max-width: 30rem; }
figcaption { font-size: .85rem; color: #52606f; }
svg { display: block; width: 100%; height: auto; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1rem; padding: 0; list-style: none;
  font-size: .85rem; }
.legend svg { display: inline-block; width: .8rem; height: .8rem; }
.sheet { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); }
.sheet img { display: block; max-width: 100%; max-height: 12rem; margin-bottom: .3rem; }
.sheet figcaption { overflow-wrap: anywhere; }
@media (max-width: 600px) {
  table { font-size: .8rem; }
  th, td { padding: .2rem .35rem; }
  ul { padding-left: 1.1rem; }
}
footer { margin-top: 2rem; border-top: 1px solid #d5dce4; font-size: .75rem; color: #52606f; }
"""


def page(
    title: str, parts: Iterable[str], footer: str = ATTRIBUTION, *, pictures: bool = False
) -> str:
    """A whole page; its policy allows only its own style and the `pictures` within it."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    policy += "; img-src data:" if pictures else ""
    head = (
        '<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>"
    )
    body = "\n".join([f"<h1>{escape(title)}</h1>", *parts, f"<footer>{escape(footer)}</footer>"])
    whole = f"<head>\n{head}\n</head>\n<body>\n{body}\n</body>"
    return f'<!DOCTYPE html>\n<html lang="en">\n{whole}\n</html>\n'


def check_page(path: Path) -> None:
    """Raise GeoclipError for a page whose name does not end in .html."""
    if path.suffix.lower() != ".html":
        raise GeoclipError(f"{path} does not end in .html: name a page, such as report.html.")


def write_with_json(path: Path, text: str, report: Report) -> None:
    """Write a page and, beside it, its figures as a .json file."""
    write_text(path, text)
    write_text(path.with_suffix(".json"), json.dumps(report, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file whole; GeoclipError where it cannot be written."""
    content = text.encode("utf-8", "xmlcharrefreplace")
    write_for_user(path, lambda file: file.write(content))


def heading(text: str) -> str:
    """A heading."""
    return f"<h2>{escape(text)}</h2>"


def sentences(lines: Iterable[str]) -> str:
    """A list of sentences."""
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def table(rows: Sequence[Sequence[str]]) -> str:
    """A table whose first row is its header; "" without rows."""
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{_breakable(cell)}</th>' for cell in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{_breakable(cell)}</td>" for cell in row) + "</tr>"
        for row in rows[1:]
    )
    head = f"<thead><tr>{head}</tr></thead>"
    return f'<div class="table" tabindex="0"><table>{head}<tbody>{body}</tbody></table></div>'


def _breakable(text: str) -> str:
    """The text, escaped; a long name may be broken after _ and /."""
    return re.sub(r"(\w[_/])", r"\1<wbr/>", escape(text))


def file_names(photos: pd.DataFrame) -> list[str]:
    """Photos' names on a page: their file names, without folders."""
    return [Path(name).name for name in photos["photo_id"]]
