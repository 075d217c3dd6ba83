"""What an observed node costs, here and elsewhere. One command prints one table: ``python -m tests.benchmarks``.

Rules of the comparison:

- Every contender observes the same node and is first checked to do the whole job (``honesty.py``); one that does not is
  not measured.
- All of them capture with this package's ``redaction.snapshots.snapshot``, so that the comparison is about logging. Peers skip
the
  memory of secrets that this package and the floor keep with it, which is in the peers' favour; so are their ids, which
  come from this package's cheap source and are kept as integers where the peer allows it.
- Each is configured as its maintainers recommend for speed; what that is stands in its module.
- The garbage collector is on, as in production, and collects between two samples. Rounds are interleaved in an order
  that changes each round. Times are those above the bare call of the node.
"""
