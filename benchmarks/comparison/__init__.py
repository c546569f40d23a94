"""Parts of ``bench.py``: the servers that are compared, their environments, tables and plot."""
