"""The demonstration planet: small street scenes drawn from facts about real places."""

from geoclip.demo.planet import Planet, PlanetSettings

__all__ = ["Planet", "PlanetSettings"]
