"""The audit log: who submitted which image, and what was answered. Imports the vocabulary, ``telemetry`` and
``inference``.
"""
