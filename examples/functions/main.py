"""Observe plain functions, and read the run back: ``python examples/functions/main.py``."""

from __future__ import annotations

import the_edge_obs as obs

CART = {"lamp": 39.9, "desk": 249.0, "chair": 89.5}


@obs.observable("shop.login", sanitize_keys=["pin"])  # passwords are redacted by default; this adds pin
def login(user: str, password: str, pin: str) -> None:
    if pin != "0000":
        raise PermissionError(f"{user} cannot log in with password {password} and pin {pin}")


@obs.observable  # without a name, the node has the function's name
def total(prices: list[float], discount: float = 0.0) -> float:
    return round(sum(prices) * (1 - discount), 2)


def main() -> None:
    undo = obs.configure({"level": "info", "handlers": [{"type": "file", "path": "logs/flow-{flow_id}.jsonl"}]})

    with obs.flow("checkout") as run:
        try:
            login("ada", password="correct horse", pin="4711")
        except PermissionError:
            run.log("shop.login", "warn", message="continuing as a guest")
        with obs.span("cart", items=list(CART)) as cart:
            cart.output = total(list(CART.values()), discount=0.1)
            cart.metric(items=len(CART), most_expensive=max(CART.values()))

    log = obs.get_flow_log(run.flow_id)
    print(f"{log.name}: {log.status}, {log.metrics['node_count']} nodes, {log.metrics['error_count']} error\n")
    for depth, span in log.walk():
        print(f"{'  ' * depth + span.node:<16}{span.status:<8}{span.duration_ms:6.3f} ms")
    print()
    for event in obs.query(run.flow_id, node=["shop.*", "cart"]):
        told = event["message"] or event["data"] or event["metrics"]
        print(f"{event['level']:<6}{event['node']:<12}{event['event_type']:<8}{told}")
    written = obs.export(run.flow_id, "logs/checkout.json", format="json")
    print(f"\n{written['events']} events in {written['path']}")
    undo()


if __name__ == "__main__":
    main()
