"""The REST inference service: uploads in, probabilities of pneumonia out.

The walk of one image:

bytes -> limits (413) -> routes.predict: a seat (503), a deadline (504)
      -> contract.to_pixels in a thread (415/422) -> batcher.submit -> batcher.run -> backend.predict
      -> wire.PredictResponse
any exception, anywhere -> errors.answer -> problem+json
"""

import contract  # noqa: F401  before onnxruntime: it turns its telemetry off
