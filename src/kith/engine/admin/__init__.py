"""Work of an operator: workspaces, keys, health, log migration, replay."""
