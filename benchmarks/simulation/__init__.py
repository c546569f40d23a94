"""Parts of ``queueing.py``: the model of the queues, the times it takes, and a machine known by its results."""
