"""What service and training share: the image contract (``image``) and the model bundle (``bundle``).

``service`` and ``training`` import this package and never each other. Both import it first, because onnxruntime sends
usage data to its vendor over the internet (since 1.29 on Linux too) unless this variable is set before onnxruntime is
imported; it would also write an identifier to the home and temporary folders. No data may leave a hospital
unrequested, so there is no setting that turns it on again (docs/decisions/0005-onnxruntime-telemetry.md).
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
