"""From a run to a bundle: ONNX, int8, calibration, operating points, input guard, drift reference. Imports every room
below.
"""
