"""A model in other forms: words, Mermaid, DOT."""
