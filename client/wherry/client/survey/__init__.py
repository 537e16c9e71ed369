"""What the files of a project say about what its stages need: for `wherry init`. Guesses, each with where it comes from."""
