"""What both sides obey: the image contract (``image``) and the model bundle (``bundle``).

``service`` and ``training`` import this package and never each other. It is imported before anything else of theirs,
because onnxruntime reports its use to its maker over the internet (from 1.29 on, on Linux too) unless this variable is
set before it is imported; it would also leave an identifier in the home and temporary folders. Nothing may leave a
hospital unasked, so there is no setting that turns it on again (docs/decisions/0005-onnxruntime-telemetry.md).
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
