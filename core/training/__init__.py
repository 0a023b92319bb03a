"""How weights come about: the loop, and all that is chosen in it."""
