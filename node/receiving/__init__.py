"""The DICOM server: radiographs by C-STORE into the spool and the ledger.

``scp`` decides who may connect and what is accepted, ``transport`` bounds what a connection may take, and ``incoming``
the file that an object is received into.
"""
