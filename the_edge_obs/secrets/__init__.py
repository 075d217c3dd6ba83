"""Detection of secrets: by key, by shape, by the words around them, or because the flow has learned them."""
