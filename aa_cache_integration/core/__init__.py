"""The protocol and what it is made of; knows neither SQLAlchemy nor any client."""
