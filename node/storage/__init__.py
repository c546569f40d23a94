"""What a node keeps until its results are delivered; it survives a crash at any point.

``spool`` keeps objects and results as files, ``ledger`` what has been received, answered and delivered, in SQLite
(``records``: its rows).
"""
