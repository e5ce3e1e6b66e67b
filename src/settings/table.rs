//! The table of settings. Flags, environment variables, keys of the configuration file,
//! `--print-config` and the example file all come from it, so that none of them can forget a
//! setting or name it otherwise: `on-duplicate` is `--on-duplicate`, `S3_TO_MYSQL_ON_DUPLICATE` and
//! the key `on-duplicate`.
//!
//! A setting that is not here does not exist; one that is here and that `resolve` does not read
//! fails a test.

use strum::VariantNames as _;

use crate::choices::{Compress, LogFormat, ProgressMode, SslMode, SummaryForm};
use crate::dialect::Preset;
use crate::policy::{Mode, OnBadRow, OnChanged, OnDuplicate, Verify};

/// One setting.
#[derive(Debug)]
pub(crate) struct Setting {
    /// The key in the file; the flag without its dashes.
    pub name: &'static str,
    pub section: Section,
    pub kind: ValueKind,
    pub default: Default,
    /// One line, for `-h`.
    pub doc: &'static str,
    /// What `--help` and the example file say beyond that.
    pub more: &'static str,
    pub flag: Flag,
    /// Stands for the value in the help.
    pub value: &'static str,
    /// Never shown.
    pub secret: bool,
}

/// How values are written, in every layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueKind {
    Text,
    Path,
    Switch {
        /// The flag that says `false`.
        opposite: &'static str,
    },
    Integer {
        min: u64,
        max: u64,
    },
    Size,
    Duration,
    /// RFC 3339, or a date.
    Time,
    Choice(&'static [&'static str]),
    /// In an environment variable one item a line.
    List,
    /// Text in which escapes stand for bytes, and in which empty is a value.
    Delimiter,
    /// Integer from -9 to 9.
    Verbosity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Default {
    /// Not set; a list is empty.
    Unset,
    Text(&'static str),
    /// Depends on something else; `basic` is what it comes to where nothing else is set.
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
    /// `-v` and `-q`.
    Counted,
    /// Would be seen in the process list.
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

/// A command, as far as the settings go that it uses: those of others in a file or in the
/// environment are no concern of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `load`, `plan` and `check`: all of them.
    Load,
    Status,
    Forget,
}

impl Scope {
    pub(crate) fn uses(self, setting: &Setting) -> bool {
        let of_the_ledger = matches!(setting.section, Section::Target | Section::Retries)
            || [LEDGER_TABLE.name, LOG_FORMAT.name, VERBOSITY.name].contains(&setting.name);
        match self {
            Self::Load => true,
            Self::Status => of_the_ledger,
            Self::Forget => of_the_ledger || [URIS.name, PREFIX.name].contains(&setting.name),
        }
    }
}

pub(crate) const ENVIRONMENT_PREFIX: &str = "S3_TO_MYSQL_";

impl Setting {
    const fn new(section: Section, name: &'static str, kind: ValueKind, doc: &'static str) -> Self {
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
        Self { name, section, kind, default, doc, more: "", flag: Flag::Long, value, secret: false }
    }

    const fn default(mut self, text: &'static str) -> Self {
        self.default = Default::Text(text);
        self
    }

    const fn derived(mut self, basic: &'static str, rule: &'static str) -> Self {
        self.default = Default::Derived { basic, rule };
        self
    }

    const fn more(mut self, more: &'static str) -> Self {
        self.more = more;
        self
    }

    const fn value(mut self, value: &'static str) -> Self {
        self.value = value;
        self
    }

    const fn flag(mut self, flag: Flag) -> Self {
        self.flag = flag;
        self
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self.flag = Flag::None;
        self
    }

    /// `S3_TO_MYSQL_ON_DUPLICATE`.
    pub(crate) fn environment_variable(&self) -> String {
        format!("{ENVIRONMENT_PREFIX}{}", self.name.to_ascii_uppercase().replace('-', "_"))
    }

    /// Whether an empty text says "not set".
    pub(crate) fn empty_is_unset(&self) -> bool {
        match self.kind {
            ValueKind::Delimiter | ValueKind::List => false,
            _ => matches!(self.default, Default::Unset),
        }
    }

    pub(crate) fn by_name(name: &str) -> Option<&'static Self> {
        ALL.iter().copied().find(|setting| setting.name == name)
    }
}

macro_rules! settings {
    ($($id:ident = $setting:expr;)*) => {
        $(pub(crate) static $id: Setting = $setting;)*
        /// In the order of the data's flow, which is the order of the help and of the example file.
        pub(crate) static ALL: &[&Setting] = &[$(&$id),*];
    };
}

use Section::Format;
use Section::Ledger;
use Section::Loading;
use Section::Output;
use Section::Retries;
use Section::S3;
use Section::Source;
use Section::Staging;
use Section::Target;
use ValueKind::Choice;
use ValueKind::Delimiter;
use ValueKind::Duration;
use ValueKind::Integer;
use ValueKind::List;
use ValueKind::Path;
use ValueKind::Size;
use ValueKind::Switch;
use ValueKind::Text;
use ValueKind::Time;
use ValueKind::Verbosity;

const BY_PRESET: &str = "what the preset says";

settings! {
    URIS = Setting::new(Source, "uris", List, "What to load: s3://BUCKET/PREFIX/ or s3://BUCKET/KEY")
        .more("A URI that ends in / or has no key is a prefix, any other names one object. Keys are taken as they are, \
               not percent-decoded. URIs given on the command line replace those of the environment and of the file.")
        .flag(Flag::Positional).value("S3_URI");
    PREFIX = Setting::new(Source,
        "prefix", Switch { opposite: "no-prefix" }, "Take every URI as a prefix, also one that does not end in /");
    INCLUDE = Setting::new(Source, "include", List, "Load only keys that match this glob (repeatable: any of them)")
        .more("Matched against the part of a listed key after its prefix; * crosses /. Exact keys are not filtered.")
        .value("GLOB");
    EXCLUDE = Setting::new(Source, "exclude", List, "Pass over keys that match this glob (repeatable); beats --include")
        .value("GLOB");
    KEY_REGEX = Setting::new(Source, "key-regex", Text, "Load only keys in which this regular expression is found")
        .more("Searched for in the whole key; use ^ and $ to match all of it.").value("REGEX");
    MODIFIED_AFTER = Setting::new(Source,
        "modified-after", Time, "Load only objects last modified at this time or later")
        .more("RFC 3339 with an offset, as in 2026-01-31T18:00:00Z, or a date, which means its midnight in UTC.");
    MODIFIED_BEFORE = Setting::new(Source, "modified-before", Time, "Load only objects last modified before this time")
        .more("Written like modified-after. The time itself is not included, so that windows can follow each other.");
    KEYS_FROM = Setting::new(Source, "keys-from", Path, "Load the objects named in this file; - is standard input")
        .more("One S3 URI a line, each an exact key. A line that starts with a double quote is a JSON string; empty \
               lines and lines that start with # are ignored. --failed-keys writes this form.");
    ALLOW_EMPTY = Setting::new(Source,
        "allow-empty", Switch { opposite: "no-allow-empty" }, "Exit with 0, not 4, where no object matches");
    SKIP_HIDDEN = Setting::new(Source,
        "skip-hidden", Switch { opposite: "no-skip-hidden" },
        "Pass over keys with a component that starts with an underscore or a dot")
        .more("Only components after the prefix count. Hive and Spark write such files for themselves.")
        .derived("false", "true with the hive presets");

    REGION = Setting::new(S3, "region", Text, "The buckets' AWS region")
        .more("Not set: as the AWS CLI finds it (AWS_REGION, the profile, the instance).").value("REGION");
    PROFILE = Setting::new(S3, "profile", Text, "A profile of the AWS configuration files")
        .more("Beats keys in the environment. Not set: AWS_PROFILE, or the default profile.").value("NAME");
    ENDPOINT_URL = Setting::new(S3, "endpoint-url", Text, "The address of an S3-compatible store")
        .more("As in http://127.0.0.1:9000. Not set: AWS_ENDPOINT_URL, or AWS itself.").value("URL");
    PATH_STYLE = Setting::new(S3, "path-style", Switch { opposite: "no-path-style" },
        "Put the bucket into the path, not into the host name")
        .more("Most S3-compatible stores need it.");
    NO_SIGN_REQUEST = Setting::new(S3, "no-sign-request", Switch { opposite: "sign-request" },
        "Use no credentials: public buckets only");
    REQUEST_PAYER = Setting::new(S3, "request-payer", Switch { opposite: "no-request-payer" },
        "Agree to be charged for requests to requester-pays buckets");

    STAGING_DIR = Setting::new(Staging, "staging-dir", Path, "Where objects are staged on disk before they are loaded")
        .more("The files have no name, so that nothing is left behind.")
        .derived("/tmp", "$TMPDIR, or /tmp").value("DIR");
    STAGING_BUDGET = Setting::new(Staging, "staging-budget", Size, "How much disk staging may use; larger objects are split")
        .more("Not set: 2 GiB, at most half of what is free when the run starts. Sizes are written like 512MiB, 8GB \
               (a power of 1000), or in bytes.");
    DOWNLOAD_CONCURRENCY = Setting::new(Staging, "download-concurrency", Integer { min: 1, max: 1024 },
        "How many objects are downloaded at once")
        .more("Of those of up to 64 KiB four times as many, unless it is 1.").default("16");

    PRESET = Setting::new(Format, "preset", Choice(Preset::VARIANTS),
        "What the objects' text looks like")
        .more("mysql: LOAD DATA's defaults. hive: fields ended by byte 0x01, NULL as \\N, backslash escapes. hive-raw: \
               the same without escapes. csv: RFC 4180, CRLF or LF found out for each object. csv-unix: LF only. tsv: \
               tabs. The format options below override parts of a preset.")
        .default("mysql");
    FIELDS_TERMINATED_BY = Setting::new(Format, "fields-terminated-by", Delimiter, "What stands between fields")
        .more("Delimiters understand \\t, \\n, \\r, \\0, \\\\, \\x01, \\u0001 and ^A.")
        .derived("\\t", BY_PRESET);
    FIELDS_ENCLOSED_BY = Setting::new(Format,
        "fields-enclosed-by", Delimiter, "The quote around every field; empty: none")
        .derived("", BY_PRESET).value("CHAR");
    FIELDS_OPTIONALLY_ENCLOSED_BY = Setting::new(Format, "fields-optionally-enclosed-by", Delimiter,
        "The quote around some fields; empty: none")
        .more("Takes the place of fields-enclosed-by.")
        .derived("", BY_PRESET).value("CHAR");
    FIELDS_ESCAPED_BY = Setting::new(Format, "fields-escaped-by", Delimiter, "The escape character; empty: none")
        .derived("\\\\", BY_PRESET).value("CHAR");
    LINES_TERMINATED_BY = Setting::new(Format, "lines-terminated-by", Delimiter, "What ends a line")
        .more("auto: CRLF or LF, found out for each object.")
        .derived("\\n", BY_PRESET);
    IGNORE_LINES = Setting::new(Format, "ignore-lines", Integer { min: 0, max: u64::MAX },
        "How many header lines each object has").default("0");
    CHARSET = Setting::new(Format, "charset", Text, "The character set of the objects, by MySQL's name")
        .more("A UTF-8 byte order mark is dropped.").default("utf8mb4").value("NAME");
    COLUMNS = Setting::new(Format, "columns", Text, "The columns in the order of the fields, as in a,@skip,b")
        .more("@NAME reads a field into a variable, which drops it or serves --set. Backticks quote odd names. \
               Not set: the table's columns in their order.").value("LIST");
    SET = Setting::new(Format, "set", List, "Fill a column by an SQL expression, as in day=DATE(@t) (repeatable)")
        .value("COLUMN=EXPR");
    NULL_STRING = Setting::new(Format, "null-string", List, "A field value that means NULL (repeatable)")
        .more("Beyond what the dialect itself reads as NULL. An empty one makes empty fields NULL. Where it is given, \
               the preset's own are not used.");

    DATABASE_URL = Setting::new(Target, "database-url", Text, "mysql://USER:PASSWORD@HOST:PORT/DATABASE")
        .more("User, password and database percent-encoded where they hold / ? # @ : or %. May end in ?ssl-mode=…, \
               ssl-ca, ssl-cert, ssl-key or socket. Each part can be overridden by its own option. A password given \
               here on the command line can be read by other users of the machine. DATABASE_URL is used where nothing \
               else says more.").value("URL");
    HOST = Setting::new(Target, "host", Text, "The database server")
        .more("localhost is TCP too; a unix socket is used where socket is set.").default("127.0.0.1").value("HOST");
    PORT = Setting::new(Target, "port", Integer { min: 1, max: 65535 }, "The database server's TCP port")
        .default("3306").flag(Flag::Short('P')).value("PORT");
    SOCKET = Setting::new(Target, "socket", Path, "Connect through this unix socket instead of TCP")
        .flag(Flag::Short('S'));
    USER = Setting::new(Target, "user", Text, "The database user").flag(Flag::Short('u')).value("NAME");
    PASSWORD = Setting::new(Target, "password", Text, "The database user's password")
        .more("Not a flag, as other users could read it. MYSQL_PWD is used where nothing else gives a password.")
        .secret();
    PASSWORD_FILE = Setting::new(Target, "password-file", Path, "A file that holds the password and nothing else")
        .more("One line end after it is dropped.");
    DATABASE = Setting::new(Target, "database", Text, "The default database of the connection")
        .flag(Flag::Short('D')).value("NAME");
    TABLE = Setting::new(Target, "table", Text, "The table to load into: TABLE or DATABASE.TABLE")
        .more("Split at the first dot outside backticks; backticks quote, as in `odd.db`.`odd table`.").value("TABLE");
    SSL_MODE = Setting::new(Target,
        "ssl-mode", Choice(SslMode::VARIANTS), "How the connection is encrypted, and what is verified")
        .more("The names and meanings of the mysql client, in any case.")
        .derived("PREFERRED", "PREFERRED on loopback addresses and sockets, else REQUIRED").value("MODE");
    SSL_CA = Setting::new(Target,
        "ssl-ca", Path, "Certificate authorities that may sign the server's certificate (PEM)");
    SSL_CERT = Setting::new(Target, "ssl-cert", Path, "The client's own certificate (PEM); needs ssl-key");
    SSL_KEY = Setting::new(Target, "ssl-key", Path, "The client's private key (PEM); needs ssl-cert");
    COMPRESS = Setting::new(Target, "compress", Choice(Compress::VARIANTS),
        "Whether what is sent to the server is compressed")
        .more("auto: where a question to the server takes 10 ms or more. zlib: always; it takes a core a second for about 100 \
               MB. A unix socket is never compressed.")
        .default("auto");
    INIT_SQL = Setting::new(Target,
        "init-sql", List, "A statement run on every new connection (repeatable)")
        .more("It runs after the session's own settings and can undo them: at your own risk, as that can break the \
               guarantees of a load.").value("SQL");

    LEDGER_TABLE = Setting::new(Ledger, "ledger-table", Text, "What the names of the ledger's tables begin with")
        .more("In the target's database, or written DATABASE.NAME; at most 40 characters. The tables NAME_objects, \
               NAME_jobs and so on are made when they are first needed. They record which objects are loaded, in the \
               same transactions as the rows, so that every run loads only what is missing.")
        .default("s3_to_mysql").value("NAME");
    NO_LEDGER = Setting::new(Ledger, "no-ledger", Switch { opposite: "ledger" },
        "Keep no record of what is loaded: every run loads everything")
        .more("At least once instead of exactly once: a run that is repeated loads its objects again, and where the \
               connection is lost during COMMIT, nobody can tell whether the object is loaded.");
    ON_CHANGED = Setting::new(Ledger, "on-changed", Choice(OnChanged::VARIANTS),
        "What to do with an object that was loaded with another ETag")
        .more("error: it fails. load: its rows are added; the rows of its earlier content stay. skip: it is passed over.")
        .default("error");
    FORCE = Setting::new(Ledger, "force", Switch { opposite: "no-force" },
        "Also load objects that the ledger says are loaded")
        .more("Their rows are in the table twice then, unless a unique key keeps them out. With mode truncate or swap: \
               begin a new job, also where one is unfinished.");
    NO_RETRY_FAILED = Setting::new(Ledger, "no-retry-failed", Switch { opposite: "retry-failed" },
        "Pass over objects that an earlier run failed to load")
        .more("They count as failed again. Objects whose content has changed since then are tried all the same.");

    MODE = Setting::new(Loading, "mode", Choice(Mode::VARIANTS),
        "What happens to the rows that are in the table already")
        .more("append: they stay. truncate: the table is emptied first, once for each job; a run that resumes an \
               unfinished job does not empty it again. swap: the objects are loaded into a new table like the target, \
               which takes its place in one step when all of them are in.")
        .default("append");
    SWAP_KEEP_OLD = Setting::new(Loading, "swap-keep-old", Switch { opposite: "no-swap-keep-old" },
        "Keep the table that a swap replaced, as TABLE_old")
        .more("It replaces the TABLE_old that an earlier swap kept. Only with mode swap.");
    LOAD_CONCURRENCY = Setting::new(Loading, "load-concurrency", Integer { min: 1, max: 1024 },
        "How many connections load at once, at most")
        .more("A run begins with all of them. It goes on with half as many when transactions deadlock or wait for locks in \
               vain, and with those it has when the server has no connection left; it adds one back after each five \
               seconds without trouble.")
        .default("8");
    BATCH_BYTES = Setting::new(Loading, "batch-bytes", Size, "How many bytes of small objects share a transaction")
        .more("Larger transactions are not faster, and cost more to repeat.").default("8MiB");
    NO_BATCH = Setting::new(Loading, "no-batch", Switch { opposite: "batch" },
        "Load every object in a transaction of its own, however small it is")
        .more("By default up to 500 small objects share a transaction. If it fails, they are loaded one by one.");
    PART_SIZE = Setting::new(Loading, "part-size", Size, "The size of the parts that a larger object is loaded in")
        .more("Each part is a transaction of its own, and a run that resumes loads only the parts that are missing. The \
               size that an object was begun with stands.").default("64MiB");
    NO_SPLIT = Setting::new(Loading, "no-split", Switch { opposite: "split" },
        "Load every object in one transaction, however large it is")
        .more("It must fit staging-budget then.");
    DEFER_INDEXES = Setting::new(Loading, "defer-indexes", Switch { opposite: "no-defer-indexes" },
        "Load without the secondary indexes, and add them at the end of the job")
        .more("In one ALTER TABLE, before a swap. Only with mode truncate or swap; with truncate readers of the table do without \
               these indexes until the job has ended. Primary and unique keys stay, as duplicates are found by them, and so does \
               what foreign keys, AUTO_INCREMENT or expressions need. A job that is interrupted keeps what is still to be added \
               in the ledger: the same command adds it, and status shows it.");
    MAX_RATE = Setting::new(Loading, "max-rate", Size, "How many bytes a second are read from S3 at most")
        .more("By the whole run.");
    MAX_THREADS_RUNNING = Setting::new(Loading, "max-threads-running", Text,
        "Begin no load while more threads than these run on the server")
        .more("The server's status variable Threads_running, without this run's own.").value("N");
    MAX_LAG = Setting::new(Loading, "max-lag", Text, "Begin no load while a replica is further behind than this")
        .more("The replicas are those that replica names. One that does not replicate, or can't be asked any more, counts as \
               further behind.").value("DURATION");
    REPLICAS = Setting::new(Loading, "replica", List, "A replica of which max-lag is watched: HOST or HOST:PORT (repeatable)")
        .more("User, password, encryption and the port that is not named are those of the target; the account needs \
               REPLICATION CLIENT there, on MariaDB REPLICA MONITOR.").value("HOST");
    ON_BAD_ROW = Setting::new(Loading, "on-bad-row", Choice(OnBadRow::VARIANTS),
        "What a row does that the table does not take as it is")
        .more("A value that does not fit, too few or too many fields, or a row that CHECK, a foreign key, the partitions \
               or a view refuse. fail: the whole object is rolled back, and the error shows the first of them. reject: \
               they are written to --rejects, and the others are loaded. accept: what the server makes of them stands, \
               counted and reported.")
        .default("fail");
    ON_DUPLICATE = Setting::new(Loading, "on-duplicate", Choice(OnDuplicate::VARIANTS),
        "What a row does whose unique key is in the table")
        .more("error: the whole object is rolled back. ignore: the row is skipped and counted. replace: it takes the \
               other's place. update: the other gets its values (INSERT ... ON DUPLICATE KEY UPDATE). reject: it is \
               written to --rejects.")
        .default("error");
    UPDATE_COLUMNS = Setting::new(Loading, "update-columns", Text, "The columns that on-duplicate update sets, as in a,b")
        .more("Not set: every column that is loaded and is in no unique key.").value("LIST");
    NOTES_AS_BAD = Setting::new(Loading, "notes-as-bad", Switch { opposite: "no-notes-as-bad" },
        "Take rows as bad of which the server only makes a note")
        .more("Such as a decimal that loses digits. Else notes are counted and reported.");
    SHOW_BAD_ROWS = Setting::new(Loading, "show-bad-rows", Integer { min: 1, max: 1000 },
        "How many bad rows the error of an object shows").default("10");
    REJECTS = Setting::new(Loading, "rejects", Text, "Where rejected rows are written: a directory or s3://BUCKET/PREFIX/")
        .more("For every object with rejected rows a file of them, as they stand in the object, so that they can be mended \
               and loaded with the same options; and a file that ends in .jsonl with the reasons.").value("DIR");
    MAX_REJECTS = Setting::new(Loading, "max-rejects", Text, "How many rows of one object may be rejected: 100 or 5%")
        .more("An object with more fails, and is rolled back.").value("N");
    MAX_REJECTS_TOTAL = Setting::new(Loading, "max-rejects-total", Text, "How many rows may be rejected in all")
        .more("The object that would go past it fails and is rolled back, and ends the run; those before it stay. The rejected \
               rows of an object with the error outcome_unknown are not counted, so the run may pass the total by what was \
               in flight.")
        .value("N");
    VERIFY = Setting::new(Loading, "verify", Choice(Verify::VARIANTS),
        "How the whole table is compared with the objects at the end of a job")
        .more("checksum: a sum over all rows as the server has stored them must equal one computed from the objects, or the \
               job does not end and nothing is swapped. Only with mode truncate or swap. Columns of which a value has \
               several texts, such as FLOAT, are left out, and named in the summary.")
        .default("none");

    MAX_ATTEMPTS = Setting::new(Retries, "max-attempts", Integer { min: 1, max: 1000 },
        "How often one thing is tried, the first time included").default("8");
    RETRY_MAX_ELAPSED = Setting::new(Retries,
        "retry-max-elapsed", Duration, "How long one thing is tried again at most")
        .more("Durations are written like 500ms, 30s, 15m or 1h30m.").default("15m");
    CONNECT_TIMEOUT = Setting::new(Retries, "connect-timeout", Duration, "How long a connection may take to come up")
        .default("10s");
    STALL_TIMEOUT = Setting::new(Retries, "stall-timeout", Duration, "How long a transfer may go without moving a byte")
        .default("60s");

    REPORT = Setting::new(Output, "report", Path, "Write the outcome of every object to this file, as JSON Lines");
    FAILED_KEYS = Setting::new(Output, "failed-keys", Path, "Write the keys that failed to this file, for --keys-from");
    SUMMARY = Setting::new(Output, "summary", Choice(SummaryForm::VARIANTS), "How the summary on standard output looks")
        .more("auto: a table on a terminal, text elsewhere. text: lines of a key and a value, which stay as they are for \
               scripts. json: one line, the same as the last one of --report.").default("auto");
    LOG_FORMAT = Setting::new(Output, "log-format", Choice(LogFormat::VARIANTS), "How log lines on standard error look")
        .default("text");
    VERBOSITY = Setting::new(Output, "verbosity", Verbosity, "How much is logged")
        .more("0 is usual; -v adds one and -q takes one away, each as often as it is given.")
        .default("0").flag(Flag::Counted);
    PROGRESS = Setting::new(Output, "progress", Choice(ProgressMode::VARIANTS), "How progress is shown")
        .more("auto: bars on a terminal, log lines elsewhere.").default("auto");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_has_its_own_name_and_every_switch_its_own_opposite() {
        let mut names: Vec<&str> = ALL.iter().map(|s| s.name).collect();
        for setting in ALL {
            if let ValueKind::Switch { opposite } = setting.kind {
                let expected = setting
                    .name
                    .strip_prefix("no-")
                    .map_or(format!("no-{}", setting.name), str::to_owned);
                assert_eq!(opposite, expected);
                names.push(opposite);
            }
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn a_variable_is_named_after_its_setting() {
        assert_eq!(ON_DUPLICATE.environment_variable(), "S3_TO_MYSQL_ON_DUPLICATE");
    }

    #[test]
    fn only_secrets_have_no_flag() {
        for setting in ALL {
            assert_eq!(setting.secret, setting.flag == Flag::None, "{}", setting.name);
        }
    }
}
