"""What stages run in: images by name, and images made of a project's own files."""
