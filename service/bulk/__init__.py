"""The command ``bulk``: archives of radiographs, of any size, to tables. Nothing of it is served.

    command -> sources (what is to be read) -> plan -> an engine (local, ray_engine) -> part -> one file each

A plan is an ordered list of items, cut into parts. ``part`` does one: a pure function of the plan, its number and the
bundle, whose result is written by one atomic step under a name that depends on the number alone (``store``). So a part
that is done twice leaves the same file, and what a killed run has left is known from the names. ``scoring`` runs the
model on fixed batches. ``s3`` is the one place that opens a bucket. pyarrow is imported in this room alone.
"""
