"""The command ``predict``: files to answers, by a service at an address or a model in this process. Imports the
vocabulary only, so that a client needs neither a web framework nor a model.

    command -> targets (files, folders) -> predicting (a few at once) -> a Predictor -> result_sink -> stdout or a file

A ``Predictor`` takes the bytes of one image and answers. ``remote`` is one over HTTP (``address``: which service, and
whom to trust; ``retry``: when to ask again). The one in this process is handed in by ``service.cli``. ``options`` says
which options go together, ``results`` formats answers, ``result_file`` is complete or absent and can be resumed,
``progress`` is what a person sees meanwhile.
"""
