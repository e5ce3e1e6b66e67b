//! The result of checking a field.

/// A field of a row as the dialect reads it: without quotes, with escapes resolved, and with NULL
/// told from text. Texts that mean NULL by `--null-string` come as [`Field::Null`], too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field<'row> {
    Null,
    Bytes(&'row [u8]),
}

/// The judgement on one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The server stores what the field says if it gets the field as it is.
    Exact,
    /// The server stores what the field says if it gets the text in `out` instead.
    ExactAs,
    /// The field means NULL, and the server must get NULL.
    ExactNull,
    /// The column cannot keep all of the value. The server stores the rest of it if it gets the
    /// text in `out`.
    Loss(LossKind),
    /// The text is no value of the column.
    Bad(BadKind),
    /// The rules cannot tell. The server gives a warning if the text is no value of the column.
    ServerDecides,
}

/// Something that a value loses in its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumIter, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum LossKind {
    /// Decimals beyond the column's scale. They are rounded.
    Decimals,
    /// A number other than zero that is nearer to zero than the smallest one of the type.
    Underflow,
    /// A time of day in a DATE.
    TimeOfDay,
    /// Digits of a second beyond the column's. They are cut.
    Fraction,
    /// Blanks beyond the column's length. They are cut.
    Blanks,
    /// A value shorter than its BINARY column. Zero bytes follow it.
    Padding,
    /// A number in JSON with more digits than a DOUBLE keeps.
    JsonNumber,
    /// A key that an object in JSON has twice. The last value stays.
    JsonKey,
}

/// The reason why a text is no value of its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumIter, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum BadKind {
    Null,
    Empty,
    NotAnInteger,
    /// A number that is not whole, in a column of whole numbers.
    NotWhole,
    NotANumber,
    /// A number that would come back in another form, in a table with guessed types.
    NumberForm,
    OutOfRange,
    /// NaN or an infinity.
    NotFinite,
    /// A number that is not a number below 2^n, in a BIT column.
    NotBits,
    /// A text that is not a label of the ENUM or SET.
    NotALabel,
    /// The server would take the text for the number of a label, or for the bits of a SET.
    LabelNumber,
    NotADate,
    NotADateTime,
    NotATime,
    NotAYear,
    /// A year of two digits, or a date that does not begin with the year.
    DateOrder,
    /// A date that no calendar has, such as February 30, or one with a zero month or day.
    NoSuchDate,
    /// A date with an offset in a DATE.
    OffsetInDate,
    /// A number that may be the seconds since 1970.
    EpochSeconds,
    /// A wall clock time that the time zone skips.
    SkippedByZone,
    /// A wall clock time that the time zone has twice.
    TwiceInZone,
    /// A time without a colon.
    TimeWithoutColon,
    /// A date before a time in a TIME.
    DateBeforeTime,
    /// Does not match `--date-format`.
    NotInFormat,
    TooLong,
    /// The column's character set lacks a character.
    Character,
    NotHex,
    NotBase64,
    NotJson,
    JsonTooDeep,
    JsonKeyTooLong,
    /// A string of JSON with half of a surrogate pair.
    LoneSurrogate,
    /// A value of JSON of a kind that the column does not take, such as an object in an INT.
    JsonKind,
}
