"""Observe an agent on LangGraph: ``python examples/langgraph/main.py``.

Needs ``python -m pip install '.[langchain]' langgraph``. It runs offline: the model is a script. With a real one, nothing else
changes.
"""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

try:
    from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage, ToolMessage
    from langchain_core.runnables import RunnableLambda
    from langchain_core.tools import tool
    from langgraph.graph import END, START, StateGraph
except ImportError as error:
    raise SystemExit(f"{error}: python -m pip install '.[langchain]' langgraph") from error

import the_edge_obs as obs
from the_edge_obs.integrations.langchain import install

WEIGHTS = {"lamp": 2.5, "desk": 31.0}


class State(TypedDict):
    """What the graph works on."""

    messages: Annotated[list[Any], operator.add]


@obs.observable("scales.read")
def read_scales(parcel: str) -> float:
    return WEIGHTS[parcel]


@tool
def weigh(parcel: str, access_token: str) -> float:
    """Weigh a parcel."""
    return read_scales(parcel)


def asks(name: str, token: str, number: int) -> AIMessage:
    call = {"name": "weigh", "args": {"parcel": name, "access_token": token}, "id": f"call-{number}"}
    return AIMessage("", tool_calls=[call], usage_metadata={"input_tokens": 40, "output_tokens": 12, "total_tokens": 52})


ANSWER = AIMessage("The lamp weighs 2.5 kg.", usage_metadata={"input_tokens": 70, "output_tokens": 9, "total_tokens": 79})
SCRIPT = [asks("sofa", "Zx81-hHq0-LmNo", 1), asks("lamp", "Zx81-hHq0-LmNo", 2), ANSWER]


def agent() -> Any:
    """Return a graph in which a model calls tools until it answers."""
    model = GenericFakeChatModel(messages=iter(SCRIPT))

    def think(state: State) -> State:
        return {"messages": [model.invoke(state["messages"])]}

    def act(state: State) -> State:
        call = state["messages"][-1].tool_calls[0]
        careful = weigh.with_fallbacks([RunnableLambda(lambda arguments: f"no parcel {arguments['parcel']}")])
        return {"messages": [ToolMessage(str(careful.invoke(call["args"])), tool_call_id=call["id"])]}

    def route(state: State) -> str:
        return "act" if state["messages"][-1].tool_calls else END

    builder = StateGraph(State)
    builder.add_node("think", think)
    builder.add_node("act", act)
    builder.add_edge(START, "think")
    builder.add_conditional_edges("think", route, ["act", END])
    builder.add_edge("act", "think")
    graph = builder.compile()
    graph.name = "scales"
    return graph


def main() -> None:
    obs.configure({"handlers": [{"type": "file", "path": "logs/flow-{flow_id}.jsonl"}]})
    install()
    answer = agent().invoke({"messages": [("user", "How heavy is the lamp?")]})
    print(answer["messages"][-1].content, end="\n\n")
    print(obs.get_flow_log("logs"))


if __name__ == "__main__":
    main()
