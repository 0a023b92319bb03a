"""Seeds where they matter: claims that are settled look by look, with an error that is spent once."""
