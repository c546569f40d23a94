"""Observability: metrics, drift, logs. Imports the vocabulary only.

``metrics`` counts for one process, in the bins of ``drift`` where images are compared with a reference; ``logs``
formats the log. With several workers each process publishes its counts in shared memory (``worker_table``), from which
``totals`` computes those of the whole service, whichever worker is asked. A sum never falls: a new worker continues
from the counts of the one it replaces.

Nothing here holds a pixel, a file name or an address.
"""
