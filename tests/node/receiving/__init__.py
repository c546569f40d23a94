"""Tests of the room node/receiving."""
