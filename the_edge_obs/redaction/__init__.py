"""Redaction: snapshots of values, cut to the caps; secrets are removed when a value is captured and when it is read."""
