"""What the use cases need from the world, in the words of the domain."""
