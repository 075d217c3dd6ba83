"""The scripted sources of the support desk: each takes its own time, and the carrier is down unless the run sets carrier=up."""

from __future__ import annotations

import time
from typing import Any

ORDERS = {"ann": "1 lamp, 1 payment", "bob": "1 desk, 2 payments", "cleo": "1 desk, 1 payment"}
ARTICLES = {"desk": "To forget all heights, hold M and 0 for five seconds.", "lamp": "Lamps are sent by post."}


def find_orders(state: dict[str, Any], customers: list[str]) -> dict[str, Any]:
    time.sleep(0.16)
    return {"orders": {customer: ORDERS[customer] for customer in customers}}


def track_parcels(state: dict[str, Any], customers: list[str], up: bool) -> dict[str, Any]:
    time.sleep(0.07)
    if not up:
        raise ConnectionError("the carrier does not answer")
    return {"parcels": {"ann": "on the van in Lille"}}


def embed(state: dict[str, Any], texts: list[str]) -> dict[str, Any]:
    time.sleep(0.09)
    return {"vectors": len(texts), "usage": {"prompt_tokens": 41, "completion_tokens": 0}}


def search(state: dict[str, Any], tickets: list[dict[str, str]]) -> dict[str, Any]:
    time.sleep(0.13)
    found = {one["customer"]: [text for word, text in ARTICLES.items() if word in one["text"]] for one in tickets}
    return {"articles": {customer: " ".join(texts) for customer, texts in found.items()}}


def register_actions(registry: dict[str, Any], engine: Any) -> None:
    registry |= {"orders.find": find_orders, "carrier.track": track_parcels, "articles.embed": embed, "articles.search": search}
