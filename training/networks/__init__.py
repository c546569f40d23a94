"""The networks, and the outputs that are served: probability, heatmap, features. Imports ``contract`` and ``errors``.

``architectures`` has one function for each network (``compact`` and ``efficientnet`` are modules of their own) and puts
the input normalisation in front. ``evidence`` is the last layer of a network that learns where evidence may come from.
``readout`` joins the outputs that are exported: the calibrated probability, the evidence by place (``heatmap``), and
the input of the input guard (``features``). ``names`` holds the names of the layers that the export looks up;
``recovered`` makes a network from the graph of a bundle, to train it further.
"""
