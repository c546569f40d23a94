"""The DICOM server: radiographs by C-STORE into the spool and the ledger.

``scp`` decides who may connect and what is accepted; ``incoming`` is the file that an object is received into.
"""
