//! The types of columns, as `information_schema` writes them.

/// A column's type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnType {
    Integer {
        size: IntegerSize,
        is_unsigned: bool,
        /// True for TINYINT(1), which is what the servers make of BOOL.
        is_boolean: bool,
    },
    Decimal {
        precision: u32,
        scale: u32,
        is_unsigned: bool,
    },
    Float {
        is_double: bool,
        /// The M and D of FLOAT(M,D).
        digits: Option<(u32, u32)>,
        is_unsigned: bool,
    },
    Bit(u32),
    Enum(Vec<String>),
    Set(Vec<String>),
    Date,
    DateTime {
        fraction_digits: u8,
    },
    Timestamp {
        fraction_digits: u8,
    },
    Time {
        fraction_digits: u8,
    },
    Year,
    /// CHAR and VARCHAR.
    Characters(u64),
    /// The TEXT types, by the bytes that they hold.
    Text(u64),
    /// BINARY.
    FixedBinary(u64),
    /// VARBINARY and the BLOB types.
    Binary(u64),
    Json,
    /// A type without rules: UUID, INET4, INET6, VECTOR, geometry, and what servers may add.
    Other,
}

/// The size of whole numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntegerSize {
    Tiny,
    Small,
    Medium,
    Int,
    Big,
}

impl IntegerSize {
    pub(super) fn bits(self) -> u32 {
        match self {
            Self::Tiny => 8,
            Self::Small => 16,
            Self::Medium => 24,
            Self::Int => 32,
            Self::Big => 64,
        }
    }
}

impl ColumnType {
    /// Parses the column `COLUMN_TYPE` of `information_schema.COLUMNS`, such as
    /// `int(10) unsigned` or `enum('a','b')`. A text that is not understood is [`Self::Other`].
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self::known(text).unwrap_or(Self::Other)
    }

    fn known(text: &str) -> Option<Self> {
        let text = text.trim();
        let end = text.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let name = name.to_ascii_lowercase();
        if matches!(name.as_str(), "enum" | "set") {
            let labels = labels(rest)?;
            return Some(if name == "enum" { Self::Enum(labels) } else { Self::Set(labels) });
        }
        let (arguments, attributes) = arguments(rest)?;
        let attributes = attributes.to_ascii_lowercase();
        let has = |word: &str| attributes.split_ascii_whitespace().any(|other| other == word);
        // The servers add UNSIGNED to ZEROFILL, but a text from elsewhere may lack it.
        let is_unsigned = has("unsigned") || has("zerofill");
        let first = arguments.first().copied();
        let integer = |size| Self::Integer {
            size,
            is_unsigned,
            is_boolean: size == IntegerSize::Tiny && first == Some(1),
        };
        let length = |default: u64| first.map_or(default, u64::from);
        let fraction_digits = u8::try_from(first.unwrap_or(0)).ok().filter(|digits| *digits <= 6);
        Some(match name.as_str() {
            "tinyint" => integer(IntegerSize::Tiny),
            "smallint" => integer(IntegerSize::Small),
            "mediumint" => integer(IntegerSize::Medium),
            "int" | "integer" => integer(IntegerSize::Int),
            "bigint" => integer(IntegerSize::Big),
            "decimal" | "numeric" => {
                let precision = first.unwrap_or(10);
                let scale = arguments.get(1).copied().unwrap_or(0);
                if scale > precision {
                    return None;
                }
                Self::Decimal { precision, scale, is_unsigned }
            }
            "float" | "double" | "real" => {
                let digits = match arguments[..] {
                    [precision, scale] if scale <= precision => Some((precision, scale)),
                    [] => None,
                    _ => return None,
                };
                Self::Float { is_double: name != "float", digits, is_unsigned }
            }
            "bit" => Self::Bit(first.unwrap_or(1)),
            "date" => Self::Date,
            "datetime" => Self::DateTime { fraction_digits: fraction_digits? },
            "timestamp" => Self::Timestamp { fraction_digits: fraction_digits? },
            "time" => Self::Time { fraction_digits: fraction_digits? },
            "year" if first.is_none_or(|digits| digits == 4) => Self::Year,
            "char" | "varchar" => Self::Characters(length(1)),
            "tinytext" => Self::Text(0xFF),
            "text" => Self::Text(0xFFFF),
            "mediumtext" => Self::Text(0xFF_FFFF),
            "longtext" => Self::Text(0xFFFF_FFFF),
            "binary" => Self::FixedBinary(length(1)),
            "varbinary" => Self::Binary(length(1)),
            "tinyblob" => Self::Binary(0xFF),
            "blob" => Self::Binary(0xFFFF),
            "mediumblob" => Self::Binary(0xFF_FFFF),
            "longblob" => Self::Binary(0xFFFF_FFFF),
            "json" => Self::Json,
            _ => return None,
        })
    }

    /// Returns true for CHAR, VARCHAR and the TEXT types.
    #[must_use]
    pub fn is_text(&self) -> bool {
        matches!(self, Self::Characters(_) | Self::Text(_))
    }

    /// Returns true if the type has a date, with or without a time.
    pub(super) fn is_date(&self) -> bool {
        matches!(self, Self::Date | Self::DateTime { .. } | Self::Timestamp { .. })
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(
            self,
            Self::Integer { .. } | Self::Decimal { .. } | Self::Float { .. } | Self::Bit(_)
        )
    }
}

/// Splits numbers in parentheses off the text.
fn arguments(text: &str) -> Option<(Vec<u32>, &str)> {
    let Some(inner) = text.strip_prefix('(') else { return Some((Vec::new(), text)) };
    let (inner, rest) = inner.split_once(')')?;
    let numbers = inner.split(',').map(|number| number.trim().parse().ok());
    Some((numbers.collect::<Option<_>>()?, rest))
}

/// Reads `('a','b''c')`. The servers escape as in string literals.
fn labels(text: &str) -> Option<Vec<String>> {
    let mut characters = text.strip_prefix('(')?.chars().peekable();
    let mut labels = Vec::new();
    loop {
        if characters.next()? != '\'' {
            return None;
        }
        let mut label = String::new();
        loop {
            match characters.next()? {
                '\'' if characters.peek() == Some(&'\'') => {
                    characters.next();
                    label.push('\'');
                }
                '\'' => break,
                '\\' => label.push(match characters.next()? {
                    '0' => '\0',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'Z' => '\u{1A}',
                    'b' => '\u{8}',
                    other => other,
                }),
                other => label.push(other),
            }
        }
        labels.push(label);
        match characters.next()? {
            ',' => {}
            ')' => return Some(labels),
            _ => return None,
        }
    }
}
