"""The columns of Parquet files of photos, detected by name and type.

`bytes`, `content` or `image` holds bytes, or a struct with bytes in it; `path` or `uri` is relative
to the file; `photo_id` or `id` and `location_id` are optional.
"""

from typing import Any

import pyarrow as pa

NAMES = {
    "content": ("bytes", "content", "image"),
    "path": ("path", "uri"),
    "photo_id": ("photo_id", "id"),
    "location_id": ("location_id",),
}


def known_columns(schema: pa.Schema) -> dict[str, str]:
    """The column for each key of `NAMES`; columns of the wrong type are ignored."""
    found = {key: _first(key, schema) for key in NAMES}
    return {key: name for key, name in found.items() if name is not None}


def oddity(schema: pa.Schema) -> str:
    """The fault of a file without a column of bytes or paths; "" for none."""
    if known_columns(schema).keys() & {"content", "path"}:
        return ""
    wanted = [*NAMES["content"], *NAMES["path"]]
    for name in (name for name in wanted if name in schema.names):
        held = " ".join(str(schema.field(name).type).split())
        kind = "paths" if name in NAMES["path"] else "bytes"
        return f"holds {held} in its column {name}: photos need {kind} there."
    return f"has the columns {', '.join(schema.names)}: photos need one of {', '.join(wanted)}."


def given_id(values: dict[str, Any]) -> str:
    """A row's own id, "" for none."""
    return "" if values.get("photo_id") is None else str(values["photo_id"])


def _first(key: str, schema: pa.Schema) -> str | None:
    there = (name for name in NAMES[key] if name in schema.names)
    return next((name for name in there if _fits(key, schema.field(name).type)), None)


def _fits(key: str, kind: pa.DataType) -> bool:
    """Whether a column's type suits `key`; ids may have any type with a text."""
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    if key == "content":
        inner = [own.type for own in kind if own.name == "bytes"] if _is_struct(kind) else [value]
        return any(map(_is_binary, inner))
    return key != "path" or _is_text(value)


def _is_struct(kind: pa.DataType) -> bool:
    return bool(pa.types.is_struct(kind))


def _is_binary(kind: pa.DataType) -> bool:
    fits = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    return pa.types.is_null(kind) or any(fit(kind) for fit in fits)


def _is_text(kind: pa.DataType) -> bool:
    fits = (pa.types.is_string, pa.types.is_large_string, pa.types.is_null)
    return any(fit(kind) for fit in fits)
