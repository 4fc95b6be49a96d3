"""Accept commands: authorise, predict, append to the log, answer."""
