"""Several processes on one port: a parent and its workers. Imports ``server`` and every room below it."""
