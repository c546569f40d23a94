"""The networks, and the outputs that are served: probability, heatmap, features. Imports ``contract`` and ``errors``.

``architectures`` has one function for each network (``compact`` in a module of its own) and puts the input
normalisation in front. ``readout`` joins the outputs that are exported: the calibrated probability, the evidence by
place (``heatmap``), and the input of the input guard (``features``). ``names`` holds the names of the layers that the
export looks up.
"""
