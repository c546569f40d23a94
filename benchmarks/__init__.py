"""Timings, never pass or fail: each script here prints JSON; results are kept in results/.

``measuring`` is what they share; ``comparison``, ``simulation`` and ``on_gpu`` are parts of ``bench``, ``queueing`` and
``gpu``. ``peers`` are the other servers.
"""
