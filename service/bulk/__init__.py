"""The command ``bulk``: archives of radiographs, of any size, to tables. It serves no requests.

    command -> sources (which images) -> plan -> an engine (local, ray_engine) -> part -> one file each

A plan is an ordered list of items, divided into parts. ``part`` processes one: its result is a pure function of plan,
part number and bundle, and is written atomically under a name that depends on the number alone (``store``). So
processing a part again writes the same file, and the names show what a killed run has finished. ``scoring`` runs the
model on batches of a fixed size. ``s3`` alone opens buckets. pyarrow is imported in this room alone.
"""
