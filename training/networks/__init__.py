"""The networks, and what is served of one: probability, heatmap, features. Imports ``contract`` and ``errors``.

``architectures`` has one function for each network (``compact`` in a module of its own) and puts the input
normalisation in front. ``readout`` joins the outputs that are exported: the calibrated probability, the evidence by
place (``heatmap``), and what the input guard uses (``features``). ``names`` are the layers that exporting looks for.
"""
