"""DICOM files: what is read of a header, and from stored values to a picture."""
