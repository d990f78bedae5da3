"""The paper's experiments, each as one command, on any centres."""
