"""From folders of radiographs to arrays of pixels, split by patient. Imports ``contract`` and ``errors``.

    folder (files, classes, patients) -> dataset (through the image contract, cached) -> split (by patient)

``listings`` reads the tables that describe a folder, ``sources`` a data set of several folders, ``objects`` DICOM
files; ``packing`` carries a data set to another machine, and ``lungs`` finds the lungs of a radiograph. One image under
two names counts as one patient.
"""
