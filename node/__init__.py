"""A DICOM node: receives radiographs by C-STORE, has the service analyse them, and sends the results to the PACS.

    receiving -> storage -> analysis -> storage -> delivery -> destinations

``receiving`` is the DICOM server, ``storage`` keeps objects, results and their states, ``analysis`` has the service
analyse what waits, and ``delivery`` sends results until they are acknowledged. ``transport`` limits what a connection
may take, ``header`` reads the few attributes that the node needs, ``pauses`` says how long what failed waits.
``monitor`` serves metrics and health, ``running`` starts and stops all this, ``config`` is the configuration file.
"""
