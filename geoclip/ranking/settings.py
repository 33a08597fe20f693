"""Settings of a ranking: temperatures, prior and point estimate.

A setting that would have no effect beside the others is refused.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, field, fields, replace
from typing import Any

from geoclip.errors import GeoclipError
from geoclip.ranking.conformal import Calibration
from geoclip.ranking.gallery_weights import GallerySettings

METHODS = ("joint", "greedy")
GREEDY_CITIES = 30
"""From StreetCLIP's procedure (Haas, Alberti, Skreta 2023)."""
MOST_NAMED = 5
"""Most countries named in a prior's text; beyond that it gives their number."""


@dataclass(frozen=True)
class Temperatures:
    """Divisors of each level's logits before their softmax; above 1 is less sure.

    The logits of continents are their countries' summed log probabilities. In a table of other
    levels, country means the first, city the deepest, and region those between.

    >>> Temperatures(country=1.5)
    Temperatures(country=1.5, region=1.0, city=1.0, continent=1.0)
    """

    country: float = 1.0
    region: float = 1.0
    city: float = 1.0
    continent: float = 1.0

    def __post_init__(self) -> None:
        if not all(0 < t < math.inf for t in astuple(self)):
            raise GeoclipError(f"{self} is no set of temperatures; give numbers above 0.")


@dataclass(frozen=True)
class Prior:
    """The prior of places, before a photo is seen.

    `stacking_factor` is subtracted from the log posterior of `seen_countries`, ISO codes of
    countries with a training photo: else photos of other countries are assigned to these
    (calibrated stacking, Chao et al. 2016, arXiv 1605.04253). The two go together. Of a table of
    levels, the seen ones are the ids of classes of the deepest level.

    p(country) is multiplied by the country's number of cities to the power
    `country_size_exponent`, inside its continent; at 0 a territory of one city weighs as much as a
    country of thousands.

    p(country) is multiplied by the population of the country's listed cities to the power
    `population_exponent`, in the whole world.

    >>> Prior(seen_countries=("FR",))
    Traceback (most recent call last):
    geoclip.errors.GeoclipError: seen_countries and stacking_factor have an effect only together...
    """

    seen_countries: tuple[str, ...] = ()
    stacking_factor: float = 0.0
    country_size_exponent: float = 0.0
    population_exponent: float = 0.0

    def __repr__(self) -> str:
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        if len(self.seen_countries) > MOST_NAMED:
            given["seen_countries"] = f"<{len(self.seen_countries)} countries>"
        told = [f"{name}={value}" for name, value in given.items() if value]
        return f"Prior({', '.join(told)})"

    def __post_init__(self) -> None:
        for name in ("stacking_factor", "country_size_exponent", "population_exponent"):
            if not math.isfinite(getattr(self, name)):
                raise GeoclipError(f"{name} is {getattr(self, name)}; use a finite number.")
        if bool(self.seen_countries) != bool(self.stacking_factor):
            raise GeoclipError(
                "seen_countries and stacking_factor have an effect only together; give both or "
                "none."
            )


@dataclass(frozen=True)
class PointEstimate:
    """Which point is reported; made by `city`, `expected_score` or `expected_score_regions`.

    >>> PointEstimate.expected_score_regions(temperature=1.7)
    PointEstimate(rule='expected_score_regions', cities=None, temperature=1.7)
    >>> PointEstimate.of("city", cities=100)
    Traceback (most recent call last):
    geoclip.errors.GeoclipError: the point estimate 'city' has no cities; leave it out.
    """

    rule: str
    cities: int | None = None
    temperature: float | None = None

    @classmethod
    def city(cls) -> PointEstimate:
        """The most probable city."""
        return cls("city")

    @classmethod
    def expected_score(cls, cities: int = 100) -> PointEstimate:
        """The city of largest expected GeoScore among, and over, the most probable `cities`."""
        return cls("expected_score", cities=cities)

    @classmethod
    def expected_score_regions(cls, temperature: float = 1.0) -> PointEstimate:
        """The best city of the region of largest expected GeoScore over the whole posterior.

        It is listed first, then one city of each further country, the likeliest country first: in a
        posterior spread over the world the most probable cities are those of countries with one
        city, wherever these lie. Only for the choice of the region, the log posterior of regions is
        divided by `temperature`.
        """
        return cls("expected_score_regions", temperature=temperature)

    @classmethod
    def of(cls, rule: str, **options: Any) -> PointEstimate:
        """The point estimate of a rule's name; absent options have defaults."""
        rules = {
            "city": cls.city,
            "expected_score": cls.expected_score,
            "expected_score_regions": cls.expected_score_regions,
        }
        if rule not in rules:
            raise GeoclipError(
                f"the point estimate {rule!r} is unknown; use one of {', '.join(rules)}."
            )
        for name in options.keys() - _OPTIONS[rule]:
            raise GeoclipError(f"the point estimate {rule!r} has no {name}; leave it out.")
        return rules[rule](**options)

    def __post_init__(self) -> None:
        given = {name for name in ("cities", "temperature") if getattr(self, name) is not None}
        if given != _OPTIONS.get(self.rule):
            raise GeoclipError(
                f"{self} is no point estimate; make one with PointEstimate.city(), "
                ".expected_score(cities) or .expected_score_regions(temperature)."
            )
        if self.cities is not None and self.cities < 1:
            raise GeoclipError(f"cities is {self.cities}; a point estimate needs 1 or more.")
        if self.temperature is not None and not 0 < self.temperature < math.inf:
            raise GeoclipError(
                f"the temperature of the point is {self.temperature}; use a number above 0."
            )


_OPTIONS = {
    "city": set[str](),
    "expected_score": {"cities"},
    "expected_score_regions": {"temperature"},
}
"""The options of each rule of a point estimate."""


@dataclass(frozen=True)
class RankingSettings:
    """How places are ranked and which point is reported.

    Attributes:
        method: "joint" multiplies p(country) · p(region | country) · p(city | region). "greedy"
            takes the best country, then the best of its `greedy_cities` most populous cities
            (StreetCLIP's procedure).
        temperatures: of the three factors of a joint ranking.
        point: which point is reported.
        prior: what is known of places before a photo is seen.
        greedy_cities: of a greedy ranking, 30 if left out.
        radius_share: share of the posterior within the stated credible radius about the point. 0
            states none: so it is for models of which nobody knows how often the place is inside.
        calibration: of a joint ranking; its radii are stated instead of that of a `radius_share`.
        gallery: of a joint ranking; how much galleries count, None where nobody fitted it.

    Raises GeoclipError for an invalid value and for a setting that the method ignores.

    >>> RankingSettings(radius_share=0.5).calibrated, RankingSettings("greedy").calibrated
    (True, False)
    """

    method: str = "joint"
    temperatures: Temperatures = field(default_factory=Temperatures)
    point: PointEstimate = field(default_factory=PointEstimate.expected_score)
    prior: Prior = field(default_factory=Prior)
    greedy_cities: int | None = None
    radius_share: float = 0.0
    calibration: Calibration | None = None
    gallery: GallerySettings | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise GeoclipError(
                f"the ranking method {self.method!r} is unknown; use {' or '.join(METHODS)}."
            )
        for name, kind in _PARTS.items():
            given = getattr(self, name)
            left_out = given is None and name in _MAY_BE_NONE
            if not isinstance(given, kind) and not left_out:
                raise GeoclipError(
                    f"{name} is {given!r}; give a {kind.__name__} of {kind.__module__}."
                )
        if not 0 <= self.radius_share < 1:
            raise GeoclipError(
                f"radius_share is {self.radius_share}; use a share below 1, or 0 for no radius."
            )
        if self.greedy_cities is not None and self.greedy_cities < 1:
            raise GeoclipError(f"greedy_cities is {self.greedy_cities}; use 1 or more.")
        for name in self._ignored():
            raise GeoclipError(f"a {self.method} ranking has no {name}; leave it out.")

    @property
    def calibrated(self) -> bool:
        """Whether its probabilities were checked on photos of known place.

        A stated radius means that they were.
        """
        return self.calibration is not None or self.radius_share > 0

    def without_radius(self) -> RankingSettings:
        """The same for another model or posterior, whose radii are not calibrated.

        The gallery weights are dropped too.
        """
        return replace(self, radius_share=0.0, calibration=None, gallery=None)

    def overridden(self, method: str | None = None, point: str | None = None) -> RankingSettings:
        """The same with another method or rule of the point estimate, if given.

        Settings that the other method ignores are dropped, and so are the radii: they were
        calibrated for the old method. The exponents of a joint ranking become those of
        `UNCALIBRATED`. A new rule has its default options. Raises GeoclipError for unknown names.

        >>> RankingSettings(temperatures=Temperatures(city=2)).overridden("greedy", "city")
        RankingSettings(method='greedy', temperatures=Temperatures(country=1.0, region=1.0, ...
        """
        settings = self
        if method not in (None, self.method):
            exponent = 0.0 if method == "greedy" else UNCALIBRATED.prior.population_exponent
            settings = replace(
                self.without_radius(),
                method=method,
                temperatures=Temperatures(),
                prior=Prior(
                    self.prior.seen_countries,
                    self.prior.stacking_factor,
                    population_exponent=exponent,
                ),
                greedy_cities=None,
            )
        if point not in (None, self.point.rule):
            settings = replace(settings, point=PointEstimate.of(point))
        return settings

    def _ignored(self) -> list[str]:
        """Names of the settings that are given and have no effect."""
        if self.method == "joint":
            given = {
                "greedy_cities": self.greedy_cities is not None,
                "radius_share beside its calibration": self.calibration and self.radius_share,
            }
            return [name for name, is_given in given.items() if is_given]
        given = {
            "calibration": self.calibration is not None,
            "gallery": self.gallery is not None,
            "temperatures": self.temperatures != Temperatures(),
            "country_size_exponent": self.prior.country_size_exponent != 0,
            "population_exponent": self.prior.population_exponent != 0,
        }
        return [name for name, is_given in given.items() if is_given]


_PARTS = {
    "temperatures": Temperatures,
    "point": PointEstimate,
    "prior": Prior,
    "calibration": Calibration,
    "gallery": GallerySettings,
}
_MAY_BE_NONE = ("calibration", "gallery")

UNCALIBRATED = RankingSettings(prior=Prior(population_exponent=1.0))
"""The ranking of an uncalibrated model.

It assumes that photos are as frequent as people. Without a prior the 58 countries and territories
with one or two listed cities get a quarter of the first answers of an uninformative model; with
exponent 0.5, 4 %; with 1, 1 % (random embeddings of 512 dimensions, logit scale 100).
"""
