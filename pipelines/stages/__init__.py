"""What a stage is, and one module or folder a stage."""
