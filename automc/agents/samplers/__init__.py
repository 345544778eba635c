"""Agents that are samplers of Optuna, and what they share."""
