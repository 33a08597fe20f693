"""A locator without weights in place of `geoclip locate`'s own."""

from contextlib import nullcontext
from typing import Any

import pytest
from small_world import FakeEncoder
from torchvision.transforms.functional import pil_to_tensor

from geoclip.locator import Locator
from geoclip.places.gazetteer import Gazetteer
from geoclip.ranking.place_index import PlaceIndex


class FakeLocator(Locator):
    """A locator without weights for ten cities; remembers its arguments."""

    asked: dict[str, Any] = {}  # noqa: RUF012
    gazetteer_of_ten: Gazetteer

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, name: str, gazetteer: Any = None, device: Any = None, **others: Any
    ) -> "Locator":
        FakeLocator.asked = {"name": name, "gazetteer": gazetteer, "device": device, **others}
        encoder, places = FakeEncoder(), cls.gazetteer_of_ten
        encoder.warnings = ["weights are random", "weights are random"]
        encoder.preprocess = lambda image: pil_to_tensor(image.resize((8, 8)))
        return Locator(encoder, PlaceIndex.build(encoder, places), places)


def use_fake_locator(patch: pytest.MonkeyPatch, small_gazetteer: Gazetteer) -> None:
    """Have every model be the fake one."""
    FakeLocator.gazetteer_of_ten = small_gazetteer
    patch.setattr(Locator, "from_pretrained", FakeLocator.from_pretrained)
    patch.setattr("geoclip.support.process.keep_freed_memory", lambda: True)
    patch.setattr("geoclip.commands.locate.made_to_last", nullcontext)
