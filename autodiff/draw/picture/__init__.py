"""A model as a picture: cards, layout, colours, SVG."""
