//! The properties of a setting: its name, the syntax of its values, its default and its help.

/// One setting.
#[derive(Debug)]
pub(crate) struct Setting {
    /// The key in the file, and the flag without its dashes.
    pub name: &'static str,
    pub section: Section,
    pub kind: ValueKind,
    pub default: Default,
    /// One line of help, for `-h`.
    pub doc: &'static str,
    /// Further help for `--help` and the example file. May be empty.
    pub more: &'static str,
    pub flag: Flag,
    /// The placeholder for the value in the help.
    pub value: &'static str,
    /// True if the value is never shown.
    pub secret: bool,
    /// True if a first load needs it: `load -h` shows only these.
    pub common: bool,
    /// The value of a flag that is given without one. A value then follows `=`.
    pub bare: Option<&'static str>,
}

/// The syntax of a setting's values, in every layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueKind {
    Text,
    Path,
    Switch {
        /// The flag that means `false`.
        opposite: &'static str,
    },
    Integer {
        min: u64,
        max: u64,
    },
    Size,
    Duration,
    /// An RFC 3339 time, or a date.
    Time,
    Choice(&'static [&'static str]),
    /// A list. In an environment variable, each line is an item.
    List,
    /// Text with escapes for bytes. The empty text is a value too.
    Delimiter,
    /// An integer from -9 to 9.
    Verbosity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Default {
    /// The setting is not set. A list is empty.
    Unset,
    Text(&'static str),
    /// The default depends on other settings. `basic` is its value if none of them is set.
    Derived {
        basic: &'static str,
        rule: &'static str,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flag {
    Long,
    Short(char),
    Positional,
    /// The counted flags `-v` and `-q`.
    Counted,
    /// There is no flag: other users would see the value in the process list.
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    Source,
    S3,
    Staging,
    Format,
    Target,
    Ledger,
    Loading,
    Retries,
    Output,
}

impl Section {
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Source => "Source",
            Self::S3 => "Access to S3",
            Self::Staging => "Staging",
            Self::Format => "Format",
            Self::Target => "Target",
            Self::Ledger => "Ledger",
            Self::Loading => "Loading",
            Self::Retries => "Retries and time limits",
            Self::Output => "Output",
        }
    }
}

pub(crate) const ENVIRONMENT_PREFIX: &str = "S3_TO_MYSQL_";

impl Setting {
    pub(super) const fn new(
        section: Section,
        name: &'static str,
        kind: ValueKind,
        doc: &'static str,
    ) -> Self {
        let value = match kind {
            ValueKind::Text | ValueKind::List => "TEXT",
            ValueKind::Path => "FILE",
            ValueKind::Switch { .. } => "",
            ValueKind::Integer { .. } | ValueKind::Verbosity => "N",
            ValueKind::Size => "SIZE",
            ValueKind::Duration => "DURATION",
            ValueKind::Time => "TIME",
            ValueKind::Choice(_) => "WORD",
            ValueKind::Delimiter => "CHARS",
        };
        let default = if matches!(kind, ValueKind::Switch { .. }) {
            Default::Text("false")
        } else {
            Default::Unset
        };
        Self {
            name,
            section,
            kind,
            default,
            doc,
            more: "",
            flag: Flag::Long,
            value,
            secret: false,
            common: false,
            bare: None,
        }
    }

    pub(super) const fn default(mut self, text: &'static str) -> Self {
        self.default = Default::Text(text);
        self
    }

    pub(super) const fn derived(mut self, basic: &'static str, rule: &'static str) -> Self {
        self.default = Default::Derived { basic, rule };
        self
    }

    /// Gives a switch a third state, in which neither word is said.
    pub(super) const fn unset(mut self) -> Self {
        self.default = Default::Unset;
        self
    }

    pub(super) const fn more(mut self, more: &'static str) -> Self {
        self.more = more;
        self
    }

    pub(super) const fn value(mut self, value: &'static str) -> Self {
        self.value = value;
        self
    }

    pub(super) const fn flag(mut self, flag: Flag) -> Self {
        self.flag = flag;
        self
    }

    pub(super) const fn common(mut self) -> Self {
        self.common = true;
        self
    }

    /// Lets the flag stand without a value, which is `text` then.
    pub(super) const fn bare(mut self, text: &'static str) -> Self {
        self.bare = Some(text);
        self
    }

    pub(super) const fn secret(mut self) -> Self {
        self.secret = true;
        self.flag = Flag::None;
        self
    }

    /// Returns the name of the environment variable, such as `S3_TO_MYSQL_ON_DUPLICATE`.
    pub(crate) fn environment_variable(&self) -> String {
        format!("{ENVIRONMENT_PREFIX}{}", self.name.to_ascii_uppercase().replace('-', "_"))
    }

    /// Returns true if an empty text means "not set".
    pub(crate) fn empty_is_unset(&self) -> bool {
        match self.kind {
            ValueKind::Delimiter | ValueKind::List => false,
            _ => matches!(self.default, Default::Unset),
        }
    }
}
