"""Planning: a shorter tape, memory for its values, and the code that runs it."""
