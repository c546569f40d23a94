"""The commands of ``python -m service``. Imports every other room but ``oip``.

``commands`` has a function for most commands, ``bundle`` checks and signs bundles. ``effective`` reports the settings
in effect and the source of each, and ``local`` runs the service in this process for ``predict`` without ``--url``.
"""
