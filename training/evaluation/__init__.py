"""Evaluation of a network: figures with intervals by patient. Imports ``fitting`` and the rooms below it.

The threshold comes from validation patients, the figures from held-out ones. ``stress`` measures the same patients with
images changed as other machines, operators and files would. ``controls`` measures how well the classes of the data can
be separated without seeing the lungs, ``probes`` how well the model still separates them then.
"""
