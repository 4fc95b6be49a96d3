"""HubSpot and Mailchimp without accounts: what they hold, what they refuse, and how they fail."""
