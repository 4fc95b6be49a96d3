"""The HTTP surface: ASGI in, engine verbs out. It translates and decides nothing about records."""
