"""Tests of the room node/storage."""
