"""What stands in a thread, and what one person is told."""
