//! The nodes that are observed: a small call of a model, as in the Python package's benchmarks, and a conversation with a tool.

use std::hint::black_box;

use serde::ser::{Serialize, SerializeStruct, Serializer};
use the_edge_obs::node;

const PROMPT: &str =
    "Summarise the following support ticket in two sentences and name the product it is about: the export of the quarterly \
     report hangs at 80 percent since the last update; restarting does not help.";
const TEXT: &str = "The quarterly report's export hangs. It is about Reports.";

/// Serialises named fields, as `#[derive(Serialize)]` does.
macro_rules! fields {
    ($name:ident: $($key:ident: $kind:ty),*) => {
        #[derive(Debug, Clone)]
        pub struct $name {
            $($key: $kind),*
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut fields = serializer.serialize_struct(stringify!($name), [$(stringify!($key)),*].len())?;
                $(fields.serialize_field(stringify!($key), &self.$key)?;)*
                fields.end()
            }
        }
    };
}

fields!(Params: model: &'static str, prompt: &'static str, api_key: &'static str, max_tokens: u32, temperature: f64);
fields!(Answer: text: &'static str, finish_reason: &'static str);
fields!(Message: role: &'static str, content: &'static str);
fields!(Property: r#type: &'static str, description: &'static str);
fields!(Properties: product: Property, since: Property);
fields!(Parameters: r#type: &'static str, properties: Properties, required: [&'static str; 1]);
fields!(Function: name: &'static str, description: &'static str, parameters: Parameters);
fields!(Tool: r#type: &'static str, function: Function);
fields!(Chat: model: &'static str, api_key: &'static str, temperature: f64, max_tokens: u32, messages: Vec<Message>, tools: Vec<Tool>);
fields!(Usage: prompt_tokens: u32, completion_tokens: u32, total_tokens: u32);
fields!(Reply: role: &'static str, content: &'static str, finish_reason: &'static str, usage: Usage);

/// The parameters of the small node.
pub const PARAMS: Params = Params {
    model: "gpt-4o-mini",
    prompt: PROMPT,
    api_key: "sk-live-4f9c2b7a1d8e6053b2aa",
    max_tokens: 512,
    temperature: 0.2,
};

impl Params {
    /// Returns parameters with another prompt.
    pub fn with_prompt(&self, prompt: &'static str) -> Params {
        Params {
            prompt,
            ..self.clone()
        }
    }
}

const ANSWER: Answer = Answer {
    text: TEXT,
    finish_reason: "stop",
};

const REPLY: Reply = Reply {
    role: "assistant",
    content: TEXT,
    finish_reason: "stop",
    usage: Usage {
        prompt_tokens: 312,
        completion_tokens: 18,
        total_tokens: 330,
    },
};

/// Returns the parameters of the conversation.
pub fn chat() -> Chat {
    let message = |role, content| Message { role, content };
    let text = |description| Property {
        r#type: "string",
        description,
    };
    let parameters = Parameters {
        r#type: "object",
        properties: Properties {
            product: text("The name of the product that the ticket is about."),
            since: text("The version or the date since when the fault is seen."),
        },
        required: ["product"],
    };
    Chat {
        model: PARAMS.model,
        api_key: PARAMS.api_key,
        temperature: PARAMS.temperature,
        max_tokens: PARAMS.max_tokens,
        messages: vec![
            message("system", "You sort support tickets. Be short, and never guess what the ticket does not say."),
            message("user", PROMPT),
            message("assistant", "Which product is it about, and since which version do you see it?"),
            message("user", "It is about Reports. We see it since version 4.2, on all machines of the department."),
        ],
        tools: vec![Tool {
            r#type: "function",
            function: Function {
                name: "find_tickets",
                description: "Finds earlier tickets about a product.",
                parameters,
            },
        }],
    }
}

/// Returns the answer of a call, without an observer.
#[inline(always)]
fn answer() -> Answer {
    black_box(ANSWER)
}

/// The small node without an observer.
#[inline(never)]
pub fn bare(_params: &Params) -> Answer {
    answer()
}

/// The small node, observed by this crate.
#[inline(never)]
pub fn observed(params: &Params) -> Answer {
    node!("llm.call", step: "ask", input: params).in_scope(|_| answer())
}

/// The small node at the level debug, which the layers of the benchmark filter.
#[inline(never)]
pub fn filtered(params: &Params) -> Answer {
    node!("llm.call", debug, step: "ask", input: params).in_scope(|_| answer())
}

/// The small node in a span of `tracing` without fields.
#[inline(never)]
pub fn bare_span(_params: &Params) -> Answer {
    tracing::info_span!("llm.call").in_scope(answer)
}

/// The small node in a span of `tracing` with flat fields. The key of the API is not among them: it would be in the log.
#[inline(never)]
pub fn flat_span(params: &Params) -> Answer {
    let span = tracing::info_span!(
        "llm.call",
        model = params.model,
        prompt = params.prompt,
        max_tokens = params.max_tokens,
        temperature = params.temperature
    );
    span.in_scope(answer)
}

/// Returns an answer that differs as the prompts do, without an observer.
#[inline(always)]
fn varied_answer(params: &Params) -> Answer {
    black_box(Answer {
        text: params.prompt,
        ..ANSWER
    })
}

/// The small node, whose texts do not repeat, observed by this crate.
#[inline(never)]
pub fn observed_varied(params: &Params) -> Answer {
    node!("llm.call", step: "ask", input: params).in_scope(|_| varied_answer(params))
}

/// The small node, whose texts do not repeat, in a span of `tracing` with flat fields.
#[inline(never)]
pub fn flat_varied(params: &Params) -> Answer {
    let span = tracing::info_span!(
        "llm.call",
        model = params.model,
        prompt = params.prompt,
        max_tokens = params.max_tokens,
        temperature = params.temperature
    );
    span.in_scope(|| varied_answer(params))
}

/// Nodes at the level debug, which the layers of the benchmark filter, by what they return.
macro_rules! filtered {
    ($($name:ident, $bare:ident: $type:ty = $value:expr;)*) => { $(
        #[inline(never)]
        pub fn $name() -> $type {
            node!("llm.call", debug, step: "ask").in_scope(|_| black_box($value))
        }

        #[inline(never)]
        pub fn $bare() -> $type {
            black_box($value)
        }
    )* };
}
filtered! {
    filtered_unit, bare_unit: () = ();
    filtered_number, bare_number: u64 = 7;
    filtered_text, bare_text: &'static str = TEXT;
    filtered_reply, bare_reply: Reply = REPLY;
}

/// The conversation, observed by this crate.
#[inline(never)]
pub fn observed_chat(chat: &Chat) -> Reply {
    node!("llm.chat", step: "ask", input: chat).in_scope(|_| black_box(REPLY))
}

/// The conversation in a span of `tracing`, as far as it fits into fields: messages and tools as `Debug` shows them.
#[inline(never)]
pub fn flat_chat(chat: &Chat) -> Reply {
    let span = tracing::info_span!(
        "llm.chat",
        model = chat.model,
        messages = ?chat.messages,
        tools = ?chat.tools,
        max_tokens = chat.max_tokens
    );
    span.in_scope(|| black_box(REPLY))
}
