"""``python -m kith`` is ``kith``: so a process starts others of its own installation."""

from kith.cli import main

main()
