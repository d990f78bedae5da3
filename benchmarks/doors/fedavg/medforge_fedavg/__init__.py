"""Federated averaging of plugins, by Flower's own strategy, as a Flower app."""
