"""The service: reads pipelines, runs their stages in containers, keeps what they produce."""
