"""What is a secret: by its key, by its shape, by the words around it, or because the flow has learned it."""
