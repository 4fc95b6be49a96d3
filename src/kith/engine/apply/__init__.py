"""Apply the log: batches, decisions, rows, and what is set aside."""
