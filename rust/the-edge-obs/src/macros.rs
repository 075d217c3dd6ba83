//! `node!` and `log!`.

/// Returns a call of a node: `node!(name, level, step: ..., input: ...)`, of which only the name is needed.
///
/// The name is a literal, or `dyn` and a [`Node`](crate::Node) that is known at run time. The level is `debug`, `info`, `warn` or
/// `error`; the default is info. The input is anything that can be serialised; it is only looked at if the node is recorded.
///
/// ```
/// use the_edge_obs::{node, Level, Node};
///
/// let params = [("prompt", "hi")];
/// let answer = node!("llm.call", step: "ask", input: params).run(|span| {
///     span.metric("candidates", 1);
///     Ok::<_, std::io::Error>("hello")
/// });
/// assert_eq!(answer.unwrap(), "hello");
///
/// let handle = Node::intern("http.get", Level::Debug);
/// let status = node!(dyn handle, input: "/health").in_scope(|_| 200);
/// assert_eq!(status, 200);
/// ```
#[macro_export]
macro_rules! node {
    (dyn $node:expr $(, step: $step:expr)? $(, input: $input:expr)? $(,)?) => {
        $crate::Node::call($node)$(.step($step))?$(.input(|| $crate::to_snap(&$input)))?
    };
    ($name:literal $(, step: $step:expr)? $(, input: $input:expr)? $(,)?) => {
        $crate::node!($name, info $(, step: $step)? $(, input: $input)?)
    };
    ($name:literal, $level:ident $(, step: $step:expr)? $(, input: $input:expr)? $(,)?) => {{
        static NODE: $crate::Node =
            $crate::Node::new($name, ::core::concat!("tea.", $name), $crate::node!(@level $level));
        NODE.call_if($crate::__is_compiled($crate::node!(@level $level)))
            $(.step($step))?$(.input(|| $crate::to_snap(&$input)))?
    }};
    (@level debug) => { $crate::Level::Debug };
    (@level info) => { $crate::Level::Info };
    (@level warn) => { $crate::Level::Warn };
    (@level error) => { $crate::Level::Error };
}

/// Logs an event of the running span: `log!(node, level, message: ..., data: {...}, metrics: {...})`.
///
/// The level is `debug`, `info`, `warn` or `error`. Everything after it can be left out.
///
/// ```
/// the_edge_obs::log!("scoring", info, message: "scored", data: {"best": [1, 2]}, metrics: {"items": 42});
/// ```
#[macro_export]
macro_rules! log {
    ($node:expr, $level:ident $(, message: $message:expr)?
        $(, data: {$($key:literal: $value:expr),* $(,)?})? $(, metrics: {$($name:literal: $number:expr),* $(,)?})? $(,)?) => {
        if $crate::__is_compiled($crate::node!(@level $level)) {
            $crate::log($node).level($crate::node!(@level $level))
                $(.message($message))?$($(.data($key, &$value))*)?$($(.metric($name, $number))*)?.emit();
        }
    };
}
