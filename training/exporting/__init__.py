"""From a run to a bundle. Imports every room but ``cli``.

``finish`` does it in order: calibration, input guard, heatmap, ONNX and the proof that the graph is the network,
operating points, int8; ``bundle`` then measures the exported graph itself and writes manifest and card. Statistics are
fitted on training images, thresholds chosen on validation patients, and the test part is only measured on.
"""
