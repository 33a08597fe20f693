"""Pages made of the files in `pages/`: one HTML file that asks the network for nothing.

The scripts are ES modules, which Node tests as they are. A page loads no other file, so they are
written into it one behind the other, without their imports and exports.
"""

import base64
import hashlib
import html
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geoclip.support.files import write_for_user

PAGE_FOLDER = Path(__file__).resolve().parent / "pages"
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./(\w+)\.mjs";\n', re.M)
_EXPORT = re.compile(r"^export (?=const |class |function )", re.M)


def write_page(
    path: Path,
    name: str,
    texts: dict[str, str],
    data: dict[str, Any],
    styles: Sequence[str] = ("style",),
) -> None:
    """Fill `pages/NAME.html` and put it in place whole; `texts` are escaped, `data` becomes JSON.

    What all pages share is in `pages/page.html`. The page's policy lets only this very script, this
    very style and pictures within the page in. Raises GeoclipError where the file cannot be
    written.
    """
    style = "".join(_read(f"{sheet}.css") for sheet in styles)
    script = bundled(f"{name}_main")
    parts = {
        "csp": (
            f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
            "img-src data:; base-uri 'none'; form-action 'none'"
        ),
        "name": name,
        "style": style,
        "script": script,
        "data": _json_for_html(data),
        **{key: html.escape(text) for key, text in texts.items()},
    }
    page = _filled("page", parts | {"body": _filled(name, parts)})
    # A file name's undecodable bytes become character references.
    content = page.encode("utf-8", "xmlcharrefreplace")
    write_for_user(path, lambda file: file.write(content))


def _filled(name: str, parts: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _read(f"{name}.html"))


def bundled(name: str) -> str:
    """A module and those that it imports as one strict script."""
    return f'"use strict";\n(() => {{\n{joined(name)}}})();\n'


def joined(*names: str) -> str:
    """Modules behind those that they import, as one text; no two may give something one name."""
    parts: dict[str, str] = {}

    def add(module: str) -> None:
        text = _read(f"{module}.mjs")
        for needed in _IMPORT.findall(text):
            if needed not in parts:
                add(needed)
        parts[module] = _EXPORT.sub("", _IMPORT.sub("", text))

    for name in names:
        add(name)
    return "\n".join(parts.values())


def _read(name: str) -> str:
    return (PAGE_FOLDER / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """The hash source of a Content-Security-Policy (CSP level 2)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _json_for_html(data: dict[str, Any]) -> str:
    """JSON that cannot end its script element, whatever the texts in it are."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
