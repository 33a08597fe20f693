"""Words for the places of a hierarchy, level by level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import Formatter

from geoclip.errors import GeoclipError

MOST_LEVELS = 9
"""A draw needs a chance for each level below the first; `seeded_uniforms` gives eight."""


@dataclass(frozen=True)
class Wording:
    """The words for a hierarchy of L levels, topmost first; each phrase names its level in braces.

    A training caption is the prefix and the phrases of its kept levels, deepest first. The top
    level always stays, each other level with its probability in `keep`. Prompts are templates that
    may name the prefix, their own level and higher ones; a level without templates uses its places'
    full captions. A training caption gives the deepest place its official name with probability
    `keep_official`, else one of its alternate names. Raises GeoclipError for invalid values.

    >>> Wording.of(("family", "species")).phrases
    ('of the family {family}', 'of the species {species}')
    """

    levels: tuple[str, ...]
    prefix: str
    phrases: tuple[str, ...]
    keep: tuple[float, ...]
    prompts: tuple[tuple[str, ...], ...]
    keep_official: float = 1.0

    def __post_init__(self) -> None:
        if not 2 <= len(self.levels) <= MOST_LEVELS:
            raise GeoclipError(
                f"{len(self.levels)} levels ({', '.join(self.levels)}) are no hierarchy; use 2 to "
                f"{MOST_LEVELS}."
            )
        chances = {
            f"keep_{name}": p for name, p in zip(self.levels[1:], self.keep[1:], strict=True)
        }
        check_chances({**chances, "keep_official": self.keep_official})
        for number, name in enumerate(self.levels):
            if f"{{{name}}}" not in self.phrases[number]:
                raise GeoclipError(
                    f"the phrase {self.phrases[number]!r} does not name its level; write {{{name}}}"
                    " where the name stands."
                )
            if self.prompts[number]:
                check_templates(self.prompts[number], f"{name}_prompts", self.levels[: number + 1])

    @classmethod
    def of(
        cls,
        levels: Sequence[str],
        prefix: str = "A photo",
        phrases: dict[str, str] | None = None,
        keep: dict[str, float] | None = None,
        prompts: dict[str, Sequence[str]] | None = None,
        keep_official: float = 1.0,
    ) -> Wording:
        """The wording of some levels; unset values have defaults.

        The defaults are "of the LEVEL NAME", kept in half of the captions, and no prompts.
        """
        for given in (phrases, keep, prompts):
            for name in (given or {}).keys() - set(levels):
                raise GeoclipError(
                    f"{name!r} is not a level of the table; use one of {', '.join(levels)}."
                )
        return cls(
            tuple(levels),
            prefix,
            tuple((phrases or {}).get(name, f"of the {name} {{{name}}}") for name in levels),
            tuple((keep or {}).get(name, 0.5) for name in levels),
            tuple(_templates((prompts or {}).get(name, ())) for name in levels),
            keep_official,
        )


def _templates(given: Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def check_chances(chances: dict[str, float]) -> None:
    """Raise GeoclipError, naming all `chances`, if any is no probability."""
    if not all(isinstance(p, float | int) and 0 <= p <= 1 for p in chances.values()):
        told = " and ".join(f"{name} {p}" for name, p in chances.items())
        raise GeoclipError(f"{told} are probabilities; give numbers from 0 to 1.")


def check_templates(templates: Sequence[str], called: str, levels: Sequence[str]) -> None:
    """Raise GeoclipError unless the templates name only the prefix and `levels`."""
    allowed = {"prefix", *levels}
    try:
        named = [{field for _, field, *_ in Formatter().parse(t)} - {None} for t in templates]
    except (TypeError, ValueError):  # no text, or a single brace
        named = []
    if isinstance(templates, str) or not named or not all(names <= allowed for names in named):
        raise GeoclipError(
            f"{called} {templates!r} is no list of templates; give at least one, which names "
            f"nothing but {', '.join(f'{{{name}}}' for name in sorted(allowed))}."
        )
