"""Attacks on the service, all of them one after the other, with a table of what it survived: ``make torture``."""
