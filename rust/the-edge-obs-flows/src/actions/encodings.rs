//! Encodings of text files.

use the_edge_obs::Snap;

use super::support::text_of;
use crate::error::Failure;
use crate::python::quoted;

/// An encoding, with the name that the flow gave it.
#[derive(Debug, Clone)]
pub(super) struct Encoding {
    pub name: Box<str>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Utf8,
    /// With a byte order mark when written, and one left out when read.
    Utf8Sig,
    Ascii,
    Latin1,
    /// With a byte order mark.
    Utf16,
}

const KNOWN: &str = "utf-8, utf-8-sig, ascii, latin-1, utf-16";
const BOM: char = '\u{feff}';

impl Encoding {
    /// Returns the encoding of a parameter.
    pub(super) fn named(action: &str, value: &Snap) -> Result<Encoding, Failure> {
        let name = text_of(action, "encoding", value)?;
        let kind = match &*name.to_ascii_lowercase().replace(['_', ' '], "-") {
            "utf-8" | "utf8" | "u8" => Kind::Utf8,
            "utf-8-sig" => Kind::Utf8Sig,
            "ascii" | "us-ascii" | "646" => Kind::Ascii,
            "latin-1" | "latin1" | "iso-8859-1" | "iso8859-1" | "l1" => Kind::Latin1,
            "utf-16" | "utf16" => Kind::Utf16,
            _ => {
                let name = quoted(name);
                return Err(Failure::action(format!(
                    "{action}: unknown encoding {name}; allowed: {KNOWN}"
                )));
            }
        };
        Ok(Encoding {
            name: name.into(),
            kind,
        })
    }

    /// Returns UTF-8.
    pub(super) fn utf_8() -> Encoding {
        Encoding {
            name: "utf-8".into(),
            kind: Kind::Utf8,
        }
    }

    /// Returns the text of bytes, or what is wrong with them.
    pub(super) fn decode(&self, raw: &[u8]) -> Result<String, String> {
        let invalid = |at: usize| {
            let byte = raw.get(at).copied().unwrap_or_default();
            format!("byte 0x{byte:02x} in position {at} cannot be decoded")
        };
        match self.kind {
            Kind::Utf8 | Kind::Utf8Sig => {
                let text =
                    std::str::from_utf8(raw).map_err(|error| invalid(error.valid_up_to()))?;
                let is_signed = self.kind == Kind::Utf8Sig;
                let bare = text.strip_prefix(BOM).filter(|_| is_signed);
                Ok(bare.unwrap_or(text).to_owned())
            }
            Kind::Ascii => match raw.iter().position(|byte| !byte.is_ascii()) {
                Some(at) => Err(invalid(at)),
                None => Ok(String::from_utf8_lossy(raw).into_owned()),
            },
            Kind::Latin1 => Ok(raw.iter().copied().map(char::from).collect()),
            Kind::Utf16 => {
                let (is_big, body) = match raw {
                    [0xfe, 0xff, body @ ..] => (true, body),
                    [0xff, 0xfe, body @ ..] => (false, body),
                    body => (false, body),
                };
                let unit = |pair: &[u8]| match is_big {
                    true => u16::from_be_bytes([pair[0], pair[1]]),
                    false => u16::from_le_bytes([pair[0], pair[1]]),
                };
                let units: Vec<u16> = body.chunks_exact(2).map(unit).collect();
                match String::from_utf16(&units) {
                    Ok(text) if body.len() % 2 == 0 => Ok(text),
                    Ok(_) => Err(format!(
                        "byte in position {} is half of a character",
                        raw.len() - 1
                    )),
                    Err(error) => Err(error.to_string()),
                }
            }
        }
    }

    /// Returns the bytes of a text, or which character the encoding lacks.
    pub(super) fn encode(&self, text: &str) -> Result<Vec<u8>, String> {
        let most = match self.kind {
            Kind::Ascii => '\u{7f}',
            Kind::Latin1 => '\u{ff}',
            _ => char::MAX,
        };
        if let Some((at, char)) = text.chars().enumerate().find(|(_, char)| *char > most) {
            let char = quoted(&char.to_string());
            return Err(format!(
                "character {char} in position {at} cannot be encoded"
            ));
        }
        Ok(match self.kind {
            Kind::Utf8 | Kind::Ascii => text.as_bytes().to_vec(),
            Kind::Utf8Sig => format!("{BOM}{text}").into_bytes(),
            Kind::Latin1 => text.chars().map(|char| char as u32 as u8).collect(),
            Kind::Utf16 => {
                let units = std::iter::once(0xfeff).chain(text.encode_utf16());
                units.flat_map(u16::to_le_bytes).collect()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_encoded_and_decoded() {
        let cases: [(&str, &[u8]); 5] = [
            ("UTF_8", b"a\xc3\xa9"),
            ("utf-8-sig", b"\xef\xbb\xbfa\xc3\xa9"),
            ("latin-1", b"a\xe9"),
            ("utf-16", b"\xff\xfea\x00\xe9\x00"),
            ("iso-8859-1", b"a\xe9"),
        ];
        for (name, bytes) in cases {
            let encoding = Encoding::named("a", &name.into()).unwrap();
            assert_eq!(encoding.encode("aé").unwrap(), bytes, "{name}");
            assert_eq!(encoding.decode(bytes).unwrap(), "aé", "{name}");
        }
        let big = Encoding::named("a", &"utf-16".into()).unwrap();
        assert_eq!(big.decode(b"\xfe\xff\x00a\x00\xe9").unwrap(), "aé");
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let ascii = Encoding::named("a", &"ascii".into()).unwrap();
        assert_eq!(
            ascii.encode("aé").unwrap_err(),
            "character 'é' in position 1 cannot be encoded"
        );
        assert_eq!(
            ascii.decode(b"a\xe9").unwrap_err(),
            "byte 0xe9 in position 1 cannot be decoded"
        );
        assert_eq!(
            Encoding::utf_8().decode(b"a\xe9").unwrap_err(),
            "byte 0xe9 in position 1 cannot be decoded"
        );
        let error = Encoding::named("file.read", &"zz".into()).unwrap_err();
        assert_eq!(
            error.message,
            format!("file.read: unknown encoding 'zz'; allowed: {KNOWN}")
        );
    }
}
