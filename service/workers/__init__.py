"""Several processes on one port: a parent and its workers. May import ``server`` and every room below it."""
