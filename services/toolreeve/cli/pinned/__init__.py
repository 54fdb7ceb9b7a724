"""What `toolreeve tools` stands on: where pins lie, what a server offers now, how it is shown."""
