"""AutoMC as a service: its API, what keeps it safe, and the dashboard."""
