"""Documents for people, as HTML: the model card, and a page for each kind of problem."""
