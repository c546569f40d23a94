"""``python -m service validate``: how well the model works on a site's own labelled radiographs, and whether that is
what its manifest claims. Imports ``client`` and the rooms above it in the table of docs/architecture.md.

labels.csv -> ``labels`` -> ``scoring`` (the service's own prediction) -> ``figures``, ``claims`` -> ``report``

``intervals`` has the statistics, ``calibration`` compares probabilities with frequencies. ``site`` derives a bundle
with the site's own thresholds (``choosing``); ``surveillance`` takes answers and truth from the audit log instead of
files.
"""
