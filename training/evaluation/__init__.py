"""What a network is worth: figures with intervals, stress suite, controls, calibration, int8 check. Imports ``data``
and ``fitting``.
"""
