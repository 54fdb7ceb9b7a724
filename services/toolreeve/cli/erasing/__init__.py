"""Values that somebody knows: their events found, their details erased, their keys renewed."""
