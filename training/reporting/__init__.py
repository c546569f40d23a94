"""Documents about a model: the report, the model card, the table of experiments. Imports ``evaluation`` and the rooms
below it.

``report`` measures everything once, into one record (``schema``). The model card (``card``) and the HTML page
(``page``) are both written from that record, by ``sections`` and ``tables``; the page adds curves and examples.
"""
