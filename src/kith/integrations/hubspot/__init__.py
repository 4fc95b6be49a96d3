"""HubSpot: its API, what of our records goes there, and what it tells of its own."""
