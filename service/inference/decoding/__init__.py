"""Decoding of uploads within bounds: a memory budget, and processes that can be killed for expensive files."""
