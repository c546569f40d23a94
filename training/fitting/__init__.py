"""One training run: its configuration, its folder, the loop. Imports ``networks``, ``data`` and ``augmentation``.

``config`` defines a run (a recipe is a named configuration), ``network`` builds its network and optimizer, ``fit`` is
the training loop with a checkpoint each epoch, ``run`` the folder it writes and resumes from.
"""
