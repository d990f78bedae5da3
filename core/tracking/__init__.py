"""Curves for people who watch them elsewhere: TensorBoard, MLflow, and whatever else is written in one file here."""
