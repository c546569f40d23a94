"""A DICOM node: receives radiographs by C-STORE, has the service analyse them, and sends the results to the PACS.

    scp -> spool, ledger -> analysis -> spool, ledger -> delivery -> destinations

``scp`` is the DICOM server: who may connect, what is accepted. ``transport`` bounds what a connection may take, and
``incoming`` the file that an object is received into. ``spool`` keeps objects and results as files, ``ledger`` keeps
what has been received, answered and delivered, in SQLite (``records``: its rows); both survive a crash at any point.
``analysis`` has the service analyse what waits, ``delivery`` sends results until they are acknowledged: ``cstore`` by
C-STORE, ``stow`` by STOW-RS, ``outcomes`` says which failures are final. ``header`` reads the few attributes that the
node needs. ``monitor`` serves metrics and health, ``running`` starts and stops all this, ``config`` is the
configuration file.
"""
