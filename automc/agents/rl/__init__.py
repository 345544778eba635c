"""Agents that learn by reinforcement, on Stable-Baselines3."""
