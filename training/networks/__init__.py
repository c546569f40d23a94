"""The networks, and what is served of one: probability, heatmap, features. Imports ``contract`` only."""
