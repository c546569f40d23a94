"""What a network is worth: figures with intervals by patient. Imports ``fitting`` and what that may import.

The threshold comes from validation patients, the figures from held-out ones. ``stress`` measures the same patients as
other machines, operators and files would show them; ``controls`` what tells the classes apart in the data without a
lung, ``probes`` what the model still tells apart then.
"""
