"""What the commands of ``python -m service`` do. Imports every other room but ``oip``.

``commands`` has a function for each command, ``effective`` reports the settings in effect and where each comes from,
and ``local`` builds a service in this process for ``predict`` without ``--url``.
"""
