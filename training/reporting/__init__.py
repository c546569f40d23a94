"""What is written about a model: the report, the model card, the table of experiments. Imports ``evaluation`` and
below.
"""
