"""Scans as files and as arrays: formats, DICOM, geometry, intensity scale, masks and slices.

Imports `errors` and `interface`; knows no network.
Begin with `volume`: an array with its affine. `formats` says which library reads which file.
"""
