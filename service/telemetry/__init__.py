"""Observability: metrics, drift, logs, and their aggregation over workers. May import the vocabulary only."""
