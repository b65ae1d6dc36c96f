"""Image files opened by their content, not by their names: one module a format, each read without guesses.

NIfTI, Analyze, NRRD, MetaImage and FreeSurfer's MGH, each packed by gzip or not, and DICOM.
Begin with `reading`, which recognizes the format; `stored_file` unpacks no more than a header claims.
"""
