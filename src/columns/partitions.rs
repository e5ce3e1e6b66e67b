//! The partitions in the path of a key, as Hive, Spark and Athena write them: `dt=2026-01-01/`.

/// Hive's text for NULL.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// One `NAME=VALUE` part of a key's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Partition {
    pub(crate) name: String,
    /// `None` for NULL.
    pub(crate) value: Option<String>,
}

/// Returns the partitions in the folders of a key, in order. The last part of a key is the name of
/// the object, and is none.
pub(crate) fn partitions(key: &str) -> Vec<Partition> {
    let folders = key.rsplit_once('/').map_or("", |(folders, _)| folders);
    let partition = |folder: &str| {
        let (name, value) = folder.split_once('=')?;
        let value = (value != NULL).then(|| decoded(value));
        (!name.is_empty()).then(|| Partition { name: decoded(name), value })
    };
    folders.split('/').filter_map(partition).collect()
}

/// Returns the text with its percent-encoded bytes decoded. A percent sign that encodes nothing
/// stays, and so does everything if the bytes are no text.
fn decoded(text: &str) -> String {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let encoded = match after {
            [high, low, ..] if *first == b'%' => {
                digit(*high).zip(digit(*low)).map(|(high, low)| high * 16 + low)
            }
            _ => None,
        };
        bytes.push(encoded.unwrap_or(*first));
        rest = if encoded.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(key: &str) -> Vec<String> {
        let show = |it: Partition| format!("{}={}", it.name, it.value.as_deref().unwrap_or("NULL"));
        partitions(key).into_iter().map(show).collect()
    }

    #[test]
    fn folders_with_a_name_and_a_value_are_partitions() {
        assert_eq!(shown("a/dt=2026-01-01/region=eu/part-0"), ["dt=2026-01-01", "region=eu"]);
        assert_eq!(shown("month=01/f"), ["month=01"]);
        assert_eq!(shown("x=a=b/y=/f"), ["x=a=b", "y="]);
        assert_eq!(shown("f=1"), [""; 0]);
        assert_eq!(shown("=1/dt/f"), [""; 0]);
        assert_eq!(shown("dt=__HIVE_DEFAULT_PARTITION__/r=NULL/f"), ["dt=NULL", "r=NULL"]);
        assert_eq!(partitions("dt=__HIVE_DEFAULT_PARTITION__/f")[0].value, None);
        assert_eq!(partitions("dt=NULL/f")[0].value.as_deref(), Some("NULL"));
    }

    #[test]
    fn only_well_formed_percent_signs_are_decoded() {
        assert_eq!(shown("r=us%2Fwest/a%3db=%c3%a9/f"), ["r=us/west", "a=b=\u{e9}"]);
        assert_eq!(shown("r=100%/s=%zz%2/t=%25%32%46/f"), ["r=100%", "s=%zz%2", "t=%2F"]);
        // The bytes are no text.
        assert_eq!(shown("r=%ff%41/f"), ["r=%ff%41"]);
        assert_eq!(shown("r=a b+c/f"), ["r=a b+c"]);
    }

    proptest! {
        #[test]
        fn an_encoded_value_is_read_back(name in "[^=/%]{1,8}", value in ".{0,12}") {
            let bytes: Vec<String> = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let encoded = bytes.concat();
            let found = partitions(&format!("p/{name}={encoded}/f"));
            let expected = Partition { name, value: Some(value) };
            prop_assert_eq!(found, [expected]);
        }

        #[test]
        fn any_key_is_read(key in "[a=/%0-9F\u{e9}]{0,24}") {
            for Partition { name, .. } in partitions(&key) {
                prop_assert!(!name.is_empty());
            }
        }
    }
}
