"""Bringing records to other services, and what they tell back: accounts, the runner, and a slice for each provider."""
