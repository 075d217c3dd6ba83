"""Observed functions under a ``logging.config`` file: ``python examples/dictconfig/main.py``."""

from __future__ import annotations

import logging
import logging.config
from pathlib import Path

import yaml

import the_edge_obs as obs

stock = logging.getLogger("warehouse.stock")  # represents any library that logs


@obs.observable("http.get")
def get(url: str) -> str:
    stock.info("12 lamps left")
    if "chair" in url:
        raise ConnectionError(f"no answer from {url}")
    return "in stock"


@obs.observable("http.post")
def post(url: str, body: dict[str, str]) -> int:
    return 201


@obs.observable("llm.call", level="debug")
def ask(prompt: str) -> str:
    return "Yes, it is in stock."


@obs.observable("reply")
def reply(product: str) -> str:
    try:
        found = get(f"https://shop.example.org/{product}?api_key=0000")
    except ConnectionError:
        stock.warning("cannot tell whether there is a %s", product)
        found = "unknown"
    answer = ask(f"The product is {found}. Answer the customer.")
    post("https://mail.example.org", {"text": answer})
    return answer


def main() -> None:
    config = Path(__file__).with_name("logging.yaml")
    logging.config.dictConfig(yaml.safe_load(config.read_text(encoding="utf-8")))

    with obs.flow("support") as run:
        reply("lamp")
        logging.getLogger("tea.http").setLevel("INFO")  # levels are logger levels: change them at run time
        reply("chair")

    for event in obs.query(run.flow_id):
        print(f"{event['level']:<6}{event['event_type']:<7}{event['node']:<16}{event['message'] or ''}")


if __name__ == "__main__":
    main()
