"""DICOM: from a folder of files to one volume, or to a list of those that it holds.

Begin with `series`. `headers` finds slices and their places, `grouping` the volumes they make, `voxels` their values.
"""
