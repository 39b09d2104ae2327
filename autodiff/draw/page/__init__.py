"""A picture as a page to be played with."""
