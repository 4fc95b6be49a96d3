"""``make bench``: how Kith compares with the bare parts that it is made of, measured side by side in one run."""
