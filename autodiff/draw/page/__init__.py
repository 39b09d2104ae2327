"""A picture as a page to be played with: one file, no network, the picture and its numbers inside."""
