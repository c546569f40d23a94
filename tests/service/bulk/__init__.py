"""Tests of ``service.bulk``."""
