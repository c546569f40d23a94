"""What is written about a model: the report, the model card, the table of experiments. Imports ``evaluation`` and
what that may import.

``report`` measures everything once into one ``record``. The model card (``card``) and the HTML page (``page``) are both
written from that record, by ``sections`` and ``tables``; the page adds curves and examples.
"""
