"""The rules, a file for each noun: what becomes of a command in a state. ``kith.model.decide`` picks among them."""
