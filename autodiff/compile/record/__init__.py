"""Recording: one run of a function, with every numpy call written on a tape."""
