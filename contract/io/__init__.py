"""What programs read and write besides images and bundles: whole files and locks, streams and signals, tables, error
messages in plain words, the look of reports.
"""
