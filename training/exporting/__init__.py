"""From a run to a bundle. Imports every room but ``cli``.

``artifacts`` makes the parts in order: calibration, input guard, heatmap, ONNX graph and its verification against the
network, operating points, int8. ``bundle`` then measures the exported graph itself and writes manifest and card.
``refit`` makes a bundle with a new input guard from an existing one.
Statistics are fitted on training images, thresholds chosen on validation patients; the test part is only measured on.
"""
