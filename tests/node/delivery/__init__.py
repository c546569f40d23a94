"""Tests of the room node/delivery."""
