"""A centre: its data, training, distillation, workspace and push."""
