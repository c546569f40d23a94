"""Bulk runs on a Ray cluster of three network namespaces; run by tests/cluster.sh."""
