//! URLs: only http and https, with everything percent-encoded that has to be, and the targets of redirects.

use std::fmt::Write;

use the_edge_obs::value::Key;
use the_edge_obs::Snap;

use crate::error::Failure;
use crate::python::{quoted, repr};

/// Characters that stay as they are in a URL (RFC 3986), beside letters and digits.
const KEPT: &str = "%/:=&?~#+!$,;'@()*[]_.-";
/// Characters that stay as they are in a name or value of a query.
const KEPT_IN_QUERY: &str = "_.-~";

/// The parts of a URL that a request needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::actions) struct Url {
    scheme: String,
    /// Host and port.
    authority: String,
    path: String,
    query: String,
}

impl Url {
    /// Returns a URL with further query parameters, without its fragment.
    ///
    /// # Errors
    ///
    /// It is not an http or https URL with a host, or it contains credentials.
    pub(in crate::actions) fn checked(
        action: &str,
        given: &str,
        params: &[(Key, Snap)],
    ) -> Result<Url, Failure> {
        let refused = |problem: String| Err(Failure::action(format!("{action}: {problem}")));
        let mut url = split(given.trim());
        let host = url.host().to_owned();
        if url.authority.contains('@') {
            let told = "contains credentials; send them as a header: Authorization: Basic ...";
            return refused(format!("the url for {host} {told}"));
        }
        if !matches!(&*url.scheme, "http" | "https") || host.is_empty() {
            let given = quoted(given);
            let told = "is not an http or https URL with a host; allowed: http://..., https://...";
            return refused(format!("url {given} {told}"));
        }
        if !url.has_usable_authority() {
            let given = quoted(given);
            let told = "cannot be parsed (its host or port is not valid); give http://host/path";
            return refused(format!("url {given} {told}"));
        }
        let more = encoded_pairs(params);
        url.query = match (url.query.is_empty(), more.is_empty()) {
            (true, _) => more,
            (false, true) => url.query,
            (false, false) => format!("{}&{more}", url.query),
        };
        url.path = encoded(if url.path.is_empty() { "/" } else { &url.path }, KEPT);
        url.query = encoded(&url.query, KEPT);
        Ok(url)
    }

    fn host(&self) -> &str {
        let bare = self.authority.rsplit('@').next().unwrap_or_default();
        match bare.rfind(':') {
            Some(at) if !bare[at..].contains(']') => &bare[..at],
            _ => bare,
        }
    }

    /// Tells whether host and port are ASCII without blanks, and the port is a number.
    fn has_usable_authority(&self) -> bool {
        let port = self.authority[self.host().len()..].trim_start_matches(':');
        let is_port = port.is_empty() || port.parse::<u16>().is_ok();
        let host = self.host();
        let is_whole =
            host.starts_with('[') == host.ends_with(']') && host.matches('[').count() < 2;
        let is_host = |char: char| char.is_ascii_graphic() && !"<>\"{}|\\^`".contains(char);
        is_port && is_whole && self.authority.chars().all(is_host)
    }

    /// Returns what decides whether headers may follow a redirect: scheme, host and port.
    pub(in crate::actions) fn origin(&self) -> (&str, String, u16) {
        let port = self.authority[self.host().len()..].trim_start_matches(':');
        let usual = if self.scheme == "https" { 443 } else { 80 };
        let host = self.host().to_ascii_lowercase();
        (&self.scheme, host, port.parse().unwrap_or(usual))
    }

    /// Returns the URL that a location stands for in an answer from this one.
    pub(in crate::actions) fn joined(&self, location: &str) -> String {
        let given = split(location.trim());
        if !given.scheme.is_empty() {
            return location.trim().to_owned();
        }
        let base = self.to_string();
        let scheme = &self.scheme;
        let query = match given.query.as_str() {
            "" => String::new(),
            query => format!("?{query}"),
        };
        if !given.authority.is_empty() {
            return format!("{scheme}://{}{}{query}", given.authority, given.path);
        }
        let path = match given.path.as_str() {
            "" if query.is_empty() => return base,
            "" => self.path.clone(),
            path if path.starts_with('/') => without_dots(path),
            path => {
                let folder = &self.path[..self.path.rfind('/').map_or(0, |at| at + 1)];
                without_dots(&format!("{folder}{path}"))
            }
        };
        format!("{scheme}://{}{path}{query}", self.authority)
    }

    /// Returns the URL with a path below its own one; the query stays behind the path.
    pub(in crate::actions) fn below(base: &str, path: &str) -> String {
        let url = split(base);
        let query = match url.query.as_str() {
            "" => String::new(),
            query => format!("?{query}"),
        };
        let own = url.path.trim_end_matches('/');
        match url.scheme.as_str() {
            "" => format!("{own}{path}{query}"),
            scheme => format!("{scheme}://{}{own}{path}{query}", url.authority),
        }
    }

    /// Tells whether a URL has a parameter in its query.
    pub(in crate::actions) fn has_parameter(base: &str, name: &str) -> bool {
        let query = split(base).query;
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.any(|(key, value)| key == name && !value.is_empty())
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}://{}{}", self.scheme, self.authority, self.path)?;
        match self.query.as_str() {
            "" => Ok(()),
            query => write!(out, "?{query}"),
        }
    }
}

/// Splits a URL into its parts; the fragment is left out.
fn split(text: &str) -> Url {
    let text = text.split('#').next().unwrap_or_default();
    let (scheme, rest) = match text.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => (scheme.to_ascii_lowercase(), rest),
        _ => (String::new(), text),
    };
    let (authority, rest) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len())),
        None => ("", rest),
    };
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    Url {
        scheme,
        authority: authority.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|char: char| char.is_ascii_alphabetic())
        && text
            .chars()
            .all(|char| char.is_ascii_alphanumeric() || "+-.".contains(char))
}

/// Returns a path without `.` and `..` (RFC 3986, section 5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    for (at, part) in parts.iter().enumerate() {
        let is_last = at + 1 == parts.len();
        match *part {
            "." => {}
            ".." => drop(kept.pop()),
            part => kept.push(part),
        }
        if is_last && matches!(*part, "." | "..") {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

/// Returns a text in which every character but letters, digits and those that are kept is percent-encoded.
fn encoded(text: &str, kept: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_ascii_alphanumeric() || kept.contains(char) {
            out.push(char);
            continue;
        }
        for byte in char.encode_utf8(&mut [0; 4]).bytes() {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Returns query parameters; a list repeats its key, and null is left out.
fn encoded_pairs(params: &[(Key, Snap)]) -> String {
    let mut parts = Vec::new();
    let mut add = |key: &str, value: &Snap| {
        let text = value.as_str().map_or_else(|| repr(value), str::to_owned);
        let part = |text: &str| encoded(text, &format!("{KEPT_IN_QUERY} ")).replace(' ', "+");
        parts.push(format!("{}={}", part(key), part(&text)));
    };
    for (key, value) in params {
        match value {
            Snap::Null => {}
            Snap::List(items) => items.iter().for_each(|item| add(key, item)),
            value => add(key, value),
        }
    }
    parts.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(given: &str) -> String {
        match Url::checked("http.get", given, &[]) {
            Ok(url) => url.to_string(),
            Err(error) => error.message,
        }
    }

    #[test]
    fn urls_are_encoded() {
        assert_eq!(
            checked(" HTTP://h:80/a b/é?q=ö&r=%20#frag "),
            "http://h:80/a%20b/%C3%A9?q=%C3%B6&r=%20"
        );
        assert_eq!(checked("https://[::1]:8080"), "https://[::1]:8080/");
        let params = [
            ("a b".into(), Snap::from("x&y=1")),
            (
                "n".into(),
                Snap::List([Snap::Int(1), Snap::Bool(true)].into()),
            ),
            ("none".into(), Snap::Null),
        ];
        let url = Url::checked("http.get", "http://h/?z=1", &params).unwrap();
        assert_eq!(url.to_string(), "http://h/?z=1&a+b=x%26y%3D1&n=1&n=True");
    }

    #[test]
    fn other_urls_are_refused() {
        let cases = [
            ("file:///etc/passwd", "http.get: url 'file:///etc/passwd' is not an http or https URL with a host; allowed: http://..., https://..."),
            ("/x", "http.get: url '/x' is not an http or https URL with a host; allowed: http://..., https://..."),
            ("http://me:secret@h/", "http.get: the url for h contains credentials; send them as a header: Authorization: Basic ..."),
            ("http://h:x/", "http.get: url 'http://h:x/' cannot be parsed (its host or port is not valid); give http://host/path"),
        ];
        for (given, error) in cases {
            assert_eq!(checked(given), error);
        }
    }

    #[test]
    fn locations_are_resolved() {
        let url = Url::checked("http.get", "http://h/a/b?q", &[]).unwrap();
        let cases = [
            ("c", "http://h/a/c"),
            ("../c?d=1", "http://h/c?d=1"),
            ("/x/./y/..", "http://h/x/"),
            ("//other/x", "http://other/x"),
            ("https://o/", "https://o/"),
            ("?p", "http://h/a/b?p"),
        ];
        for (location, target) in cases {
            assert_eq!(url.joined(location), target);
        }
    }

    #[test]
    fn bases_keep_their_query() {
        assert_eq!(Url::below("http://h/v1/", "/chat"), "http://h/v1/chat");
        assert_eq!(
            Url::below("http://h/d?api-version=1", "/chat"),
            "http://h/d/chat?api-version=1"
        );
        assert!(Url::has_parameter(
            "http://h/d?x=1&api-version=1",
            "api-version"
        ));
        assert!(!Url::has_parameter(
            "http://h/d?api-versions=1",
            "api-version"
        ));
    }
}
