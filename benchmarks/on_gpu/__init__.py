"""Parts of ``gpu.py``: the graph and the service on a GPU."""
