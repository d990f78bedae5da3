"""A centre's data: every source opens as a Task with train, validation and test splits and one prompt per class."""
