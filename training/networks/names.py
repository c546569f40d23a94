"""The names of the layers that the export looks up in a network."""

# The last feature maps; the dense layer after them, if there is one; the layer whose output is the probability.
MAPS, HIDDEN, PROBABILITY = "maps", "hidden", "probability"
# The coarse maps from which the input guard's features are computed.
LAYOUT = "layout"
