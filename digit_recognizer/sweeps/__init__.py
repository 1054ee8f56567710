"""Studies: many runs that differ in what one wants to know, and what their numbers can bear."""
