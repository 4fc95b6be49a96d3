"""Work by the clock: maintenance and scheduled evaluation."""
