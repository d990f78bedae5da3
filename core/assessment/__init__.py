"""What medicine prints of a classifier: rates with intervals, ROC curves, calibration, tables and figures."""
