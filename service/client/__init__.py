"""The command ``predict``: analyses image files with a remote service, or with a local model that is passed in. Imports
the vocabulary only, so that a client needs neither a web framework nor a model.

    command -> targets (files, folders) -> predicting (concurrently) -> a Predictor -> result_sink -> stdout or a file

A ``Predictor`` takes the bytes of one image and returns a response. ``remote`` is one over HTTP (``address``: the URL
of the service and the certificates to trust; ``retry``: the retry policy). The local one comes from ``service.cli``.
``options`` checks which options can be combined, ``results`` formats the answers, ``result_file`` writes a file that
is complete or absent, and that can be resumed (``lock``: by one run at a time), ``objects`` writes DICOM files,
``progress`` shows the progress.
"""
