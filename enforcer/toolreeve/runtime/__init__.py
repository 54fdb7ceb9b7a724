"""What every process needs to start, to log and to end."""
