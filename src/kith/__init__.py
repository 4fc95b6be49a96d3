"""Kith: an embeddable CRM engine whose writes go to a durable log first."""

__version__ = "0.1.0"
