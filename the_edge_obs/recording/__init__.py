"""How an event becomes a record and reaches its handlers, and what happens when logging itself fails."""
