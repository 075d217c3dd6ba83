//! W3C Trace Context: headers that let a flow continue in another process (<https://www.w3.org/TR/trace-context-2/>).

use crate::ids::{FlowId, SpanId};

/// The most members of a `tracestate`.
const MAX_MEMBERS: usize = 32;
/// Sampled and random. All other flags must be sent as 0 (section 3.2.2.5).
const KNOWN_FLAGS: u8 = 0b11;
const BLANKS: [char; 2] = [' ', '\t'];

/// A span of another process, as the header `traceparent` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteParent {
    /// The trace, as the id of the flow that continues it.
    pub flow: FlowId,
    /// The number of the remote span: the last 8 bytes of its id.
    pub number: u64,
    /// The flags of the trace that are known: 1 for sampled, 2 for random.
    pub flags: u8,
    /// The header `tracestate` to pass on; empty without a valid one.
    pub tracestate: String,
}

impl RemoteParent {
    /// Returns the remote span that a `traceparent` header names (in any case); `None` without a valid header.
    ///
    /// Two `traceparent` headers count as none, as the standard requires. Several `tracestate` headers are joined. One that is not
    /// valid is dropped. Names and values are texts or bytes, such as those of the crate `http`.
    ///
    /// ```
    /// use the_edge_obs::traceparent::RemoteParent;
    ///
    /// let headers = [("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")];
    /// let parent = RemoteParent::extract(headers).unwrap();
    /// assert_eq!(parent.flow.to_string(), "4bf92f35-77b3-4da6-a3ce-929d0e0e4736");
    /// assert_eq!(parent.span().to_string(), "4bf92f35-77b3-4da6-00f0-67aa0ba902b7");
    /// assert_eq!(parent.traceparent(), headers[0].1);
    /// ```
    pub fn extract<K, V>(headers: impl IntoIterator<Item = (K, V)>) -> Option<RemoteParent>
    where
        K: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let (mut parents, mut states) = (Vec::new(), Vec::new());
        for (name, value) in headers {
            let value = || {
                value
                    .as_ref()
                    .iter()
                    .map(|byte| char::from(*byte))
                    .collect::<String>()
            };
            if name.as_ref().eq_ignore_ascii_case(b"traceparent") {
                parents.push(value());
            } else if name.as_ref().eq_ignore_ascii_case(b"tracestate") {
                states.push(value());
            }
        }
        let [parent] = &parents[..] else {
            return None;
        };
        let (flow, number, flags) = read(parent.trim_matches(BLANKS))?;
        Some(RemoteParent {
            flow,
            number,
            flags: flags & KNOWN_FLAGS,
            tracestate: passed_on(&states.join(",")),
        })
    }

    /// Returns the id of the remote span.
    #[must_use]
    pub fn span(&self) -> SpanId {
        self.flow.span(self.number)
    }

    /// Returns the value of the header `traceparent` that names this span again.
    #[must_use]
    pub fn traceparent(&self) -> String {
        traceparent(self.flow, self.number, self.flags)
    }
}

/// Returns the value of the header `traceparent` of a flow's span. The flags are those of the trace; 1 (sampled) for a new one.
///
/// ```
/// use the_edge_obs::traceparent::traceparent;
///
/// let flow = "9f0df4a5-a646-4772-b822-7adce460ed24".parse()?;
/// assert_eq!(traceparent(flow, 0x8dd3_7757_55bc_b13e, 1), "00-9f0df4a5a6464772b8227adce460ed24-8dd3775755bcb13e-01");
/// # Ok::<(), the_edge_obs::Error>(())
/// ```
#[must_use]
pub fn traceparent(flow: FlowId, number: u64, flags: u8) -> String {
    let trace = flow.to_string().replace('-', "");
    format!("00-{trace}-{number:016x}-{flags:02x}")
}

/// Reads `version-trace-span-flags`, and what later versions may append.
fn read(text: &str) -> Option<(FlowId, u64, u8)> {
    let mut fields = text.splitn(5, '-');
    let mut hex = |count: usize| {
        let field = fields.next()?;
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (field.len() == count && field.bytes().all(is_hex)).then_some(field)
    };
    let (version, trace, span, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
    let rest = fields.next();
    // Version 00 has exactly four fields; version ff and all-zero ids are not valid (section 3.2.2).
    let is_version = version != "ff" && (version != "00" || rest.is_none());
    let number = u64::from_str_radix(span, 16).ok()?;
    let is_valid = is_version && number != 0 && trace.bytes().any(|byte| byte != b'0');
    if !is_valid || rest.is_some_and(|rest| rest.contains('\n')) {
        return None;
    }
    let id = [
        &trace[..8],
        &trace[8..12],
        &trace[12..16],
        &trace[16..20],
        &trace[20..],
    ]
    .join("-");
    Some((
        id.parse().ok()?,
        number,
        u8::from_str_radix(flags, 16).ok()?,
    ))
}

/// Returns the `tracestate` to pass on, with the first value of each key; an empty text if it is not valid.
fn passed_on(value: &str) -> String {
    let mut members: Vec<(&str, &str)> = Vec::new();
    for member in value.split(',').map(|member| member.trim_matches(BLANKS)) {
        if member.is_empty() {
            continue;
        }
        let Some(key) = key_of(member) else {
            return String::new();
        };
        if members.iter().all(|(known, _)| *known != key) {
            members.push((key, member));
        }
        if members.len() > MAX_MEMBERS {
            return String::new();
        }
    }
    let members: Vec<&str> = members.into_iter().map(|(_, member)| member).collect();
    members.join(",")
}

/// Returns the key of a member; `None` if the member is not valid (section 3.3.1.3).
///
/// A member is a key, `=`, and up to 256 printable ASCII characters except `,` and `=`; the last one is not a blank.
fn key_of(member: &str) -> Option<&str> {
    let (key, value) = member.split_once('=')?;
    let is_start = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_in_key = |byte: u8| is_start(byte) || b"_-*/@".contains(&byte);
    let is_in_value = |byte: u8| matches!(byte, b' '..=b'~') && byte != b',' && byte != b'=';
    let is_key =
        (1..=256).contains(&key.len()) && is_start(key.as_bytes()[0]) && key.bytes().all(is_in_key);
    let is_value =
        (1..=256).contains(&value.len()) && value.bytes().all(is_in_value) && !value.ends_with(' ');
    (is_key && is_value).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff";

    fn state(states: &[&str]) -> String {
        let states = states.iter().map(|state| ("TraceState", *state));
        let headers = [("traceparent", PARENT)].into_iter().chain(states);
        RemoteParent::extract(headers).unwrap().tracestate
    }

    #[test]
    fn states_are_joined_and_the_first_of_a_key_stays() {
        assert_eq!(state(&["a=1, b=2", " ,a=3", "c@d=x y"]), "a=1,b=2,c@d=x y");
        for odd in ["A=1", "=1", "a", "a=", "a=1=2", "a=é", "_a=1"] {
            assert_eq!(state(&["b=2", odd]), "", "{odd}");
        }
        let many = |count: usize| {
            (0..count)
                .map(|at| format!("k{at}=v"))
                .collect::<Vec<_>>()
                .join(",")
        };
        assert_eq!(state(&[&many(32)]), many(32));
        assert_eq!(state(&[&many(33)]), "");
    }

    #[test]
    fn two_parents_count_as_none_and_unknown_flags_are_dropped() {
        assert_eq!(
            RemoteParent::extract([("traceparent", PARENT)])
                .unwrap()
                .flags,
            3
        );
        assert_eq!(
            RemoteParent::extract([("traceparent", PARENT), ("Traceparent", PARENT)]),
            None
        );
        assert_eq!(RemoteParent::extract(Vec::<(&str, &str)>::new()), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(number in 1_u64.., flags in 0_u8..4) {
            let flow = FlowId::random();
            let parent = RemoteParent::extract([("traceparent", traceparent(flow, number, flags))]).unwrap();
            prop_assert_eq!(parent, RemoteParent { flow, number, flags, tracestate: String::new() });
        }

        #[test]
        fn no_header_panics(value in proptest::collection::vec(any::<u8>(), 0..80), state in "\\PC{0,40}") {
            let headers = [(&b"traceparent"[..], &value[..]), (b"tracestate", state.as_bytes())];
            let _ = RemoteParent::extract(headers);
        }
    }
}
