"""Simulated Slack and Dify platforms that speak the real protocols, for the demo and the acceptance tests."""
