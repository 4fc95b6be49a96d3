"""Mailchimp: contacts become members of an audience, activities their notes and events."""
