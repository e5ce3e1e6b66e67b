//! Lists all settings in one table.
//!
//! Flags, environment variables, keys of the configuration file, `--print-config` and the example
//! file all come from this table, so none of them can omit a setting or give it another name:
//! `on-duplicate` is `--on-duplicate`, `S3_TO_MYSQL_ON_DUPLICATE` and the key `on-duplicate`.
//!
//! A setting that is not in the table does not exist. A setting in the table that `resolve` does
//! not read fails a test.

#[cfg(test)]
mod tests;

use strum::VariantNames as _;

use super::setting::{Flag, Section, Setting, ValueKind};
use crate::choices::{
    BinaryReading, Compress, FailOn, LogFormat, ProgressMode, ReportOnly, SslMode, SummaryForm,
};
use crate::dialect::{
    ExtraColumns, MatchColumns, MissingColumns, MissingKeys, ObjectFormat, Preset,
};
use crate::policy::{Mode, OnBadRow, OnChanged, OnDuplicate, Verify};

/// A group of commands that use the same settings. A command ignores settings of other commands in
/// a file or in the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `load`, `plan` and `check`, which use all settings.
    Load,
    Status,
    Forget,
    Ack,
    Wait,
}

impl Scope {
    pub(crate) fn uses(self, setting: &Setting) -> bool {
        let of_the_ledger = matches!(setting.section, Section::Target | Section::Retries)
            || [LEDGER_TABLE.name, LOG_FORMAT.name, VERBOSITY.name].contains(&setting.name);
        match self {
            Self::Load => true,
            // Those of S3 are for --compare-source.
            Self::Status => of_the_ledger || setting.section == Section::S3,
            Self::Forget | Self::Ack => {
                let is_wait = setting.name == WAIT.name;
                of_the_ledger && !is_wait || [URIS.name, PREFIX.name].contains(&setting.name)
            }
            Self::Wait => {
                let is_left_out = [
                    TABLE.name,
                    CREATE_TABLE.name,
                    PRIMARY_KEY.name,
                    LEDGER_TABLE.name,
                    MAX_ATTEMPTS.name,
                    RETRY_MAX_ELAPSED.name,
                ];
                (of_the_ledger || setting.section == Section::S3)
                    && !is_left_out.contains(&setting.name)
                    || [URIS.name, PREFIX.name].contains(&setting.name)
            }
        }
    }
}

impl Setting {
    pub(crate) fn by_name(name: &str) -> Option<&'static Self> {
        ALL.iter().copied().find(|setting| setting.name == name)
    }
}

macro_rules! settings {
    ($($id:ident = $setting:expr;)*) => {
        $(pub(crate) static $id: Setting = $setting;)*
        /// All settings, in the order of the help and of the example file: along the flow of data.
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

const BY_PRESET: &str = "set by the preset";

settings! {
    URIS = Setting::new(Source, "uris", List,
        "The objects to load: s3://BUCKET/PREFIX/ or s3://BUCKET/KEY")
        .more("A URI that ends in / or has no key is a prefix. Any other URI names one object. \
               Keys are taken literally and are not percent-decoded. URIs on the command line \
               replace those in the environment and the configuration file.")
        .flag(Flag::Positional).value("S3_URI");
    PREFIX = Setting::new(Source, "prefix", Switch { opposite: "no-prefix" },
        "Treat every URI as a prefix, even if it does not end in /");
    INCLUDE = Setting::new(Source, "include", List,
        "Load only keys that match one of the given globs (repeatable)")
        .more("A glob is matched against the part of a listed key after its prefix. * also \
               matches /. URIs that name one object are not filtered.")
        .value("GLOB")
        .common();
    EXCLUDE = Setting::new(Source, "exclude", List,
        "Skip keys that match this glob (repeatable); overrides --include")
        .value("GLOB");
    KEY_REGEX = Setting::new(Source, "key-regex", Text,
        "Load only keys that contain a match of this regular expression")
        .more("The whole key is searched. Use ^ and $ to match all of it.").value("REGEX");
    MODIFIED_AFTER = Setting::new(Source, "modified-after", Time,
        "Load only objects last modified at this time or later")
        .more("The time is RFC 3339 with an offset, as in 2026-01-31T18:00:00Z, or a date, which \
               means midnight UTC.");
    MODIFIED_BEFORE = Setting::new(Source, "modified-before", Time,
        "Load only objects last modified before this time")
        .more("The format is that of modified-after. The time itself is excluded, so consecutive \
               time windows do not overlap.");
    KEYS_FROM = Setting::new(Source, "keys-from", Path,
        "Load the objects listed in this file; - reads standard input")
        .more("The file has one S3 URI per line, and each names one object. A line that starts \
               with a double quote is a JSON string. Empty lines and lines that start with # are \
               ignored. --failed-keys writes this format. The manifest of a Redshift UNLOAD will \
               do, too.");
    ALLOW_EMPTY = Setting::new(Source, "allow-empty", Switch { opposite: "no-allow-empty" },
        "Exit with code 0 instead of 4 if no object matches");
    SKIP_HIDDEN = Setting::new(Source, "skip-hidden", Switch { opposite: "no-skip-hidden" },
        "Skip keys with a path component that starts with an underscore or a dot")
        .more("Only components after the prefix count. Hive and Spark use such names for their own \
               files.")
        .derived("false", "true with the hive presets and with Parquet");

    ALLOW_LAKE_FILES = Setting::new(Source, "allow-lake-files",
        Switch { opposite: "no-allow-lake-files" },
        "Load the Parquet files of a Delta Lake, Hudi or Iceberg table as they are")
        .more("They also hold rows that were deleted or replaced. Only with --format parquet.");
    REGION = Setting::new(S3, "region", Text, "The AWS region of the buckets")
        .more("If not set, the region comes from the same places as for the AWS CLI: AWS_REGION, \
               the profile, the instance.")
        .value("REGION")
        .common();
    PROFILE = Setting::new(S3, "profile", Text, "The profile in the AWS configuration files to use")
        .more("The profile overrides credentials in the environment. If not set, AWS_PROFILE or \
               the default profile is used.")
        .value("NAME");
    ENDPOINT_URL = Setting::new(S3, "endpoint-url", Text, "The URL of an S3-compatible store")
        .more("For example http://127.0.0.1:9000. If not set, AWS_ENDPOINT_URL or AWS itself is \
               used.")
        .value("URL")
        .common();
    PATH_STYLE = Setting::new(S3, "path-style", Switch { opposite: "no-path-style" },
        "Put the bucket name in the URL path instead of the host name")
        .more("Most S3-compatible stores need this. By default, it is on for an endpoint whose \
               host is localhost, an IP address or a name without a dot, wherever it is set.")
        .unset();
    NO_SIGN_REQUEST = Setting::new(S3, "no-sign-request", Switch { opposite: "sign-request" },
        "Send requests without credentials, for public buckets");
    REQUEST_PAYER = Setting::new(S3, "request-payer", Switch { opposite: "no-request-payer" },
        "Agree to pay for requests to requester-pays buckets");

    STAGING_DIR = Setting::new(Staging, "staging-dir", Path,
        "The directory where objects are staged before they are loaded")
        .more("Staged files have no name, so a run that is killed leaves nothing behind.")
        .derived("/tmp", "$TMPDIR, or /tmp").value("DIR");
    STAGING_BUDGET = Setting::new(Staging, "staging-budget", Size,
        "The disk space that staging may use; larger objects are split")
        .more("If not set, it is 2 GiB, or half of the free space when the run starts if that is \
               less. A size is written like 512MiB or 8GB (powers of 1000), or in bytes.");
    DOWNLOAD_CONCURRENCY = Setting::new(Staging, "download-concurrency",
        Integer { min: 1, max: 1024 },
        "The maximum number of objects downloaded at the same time")
        .more("For objects of up to 64 KiB the maximum is four times as high, unless this is 1.")
        .default("16");

    FORMAT = Setting::new(Format, "format", Choice(ObjectFormat::VARIANTS),
        "The format of the objects: text with delimiters, JSON, or Parquet")
        .more("delimited: as the preset says. jsonl: JSON Lines, one object of JSON per line. \
               json: objects of JSON with or without white space between them, or in an array. \
               JSON goes into columns by the names of its keys, and Parquet by those of its \
               columns.")
        .default("delimited")
        .common();
    PRESET = Setting::new(Format, "preset", Choice(Preset::VARIANTS),
        "The text format of the objects")
        .more("mysql: the defaults of LOAD DATA. hive: fields end with byte 0x01, NULL is \\N, \
               backslash escapes. hive-raw: like hive, without escapes. csv: RFC 4180; CRLF or LF \
               is detected for each object. csv-unix: like csv, with LF only. tsv: tab-separated. \
               The format options below override parts of a preset.")
        .default("mysql")
        .common();
    FIELDS_TERMINATED_BY = Setting::new(Format, "fields-terminated-by", Delimiter,
        "The separator between fields")
        .more("Delimiters may contain the escapes \\t, \\n, \\r, \\0, \\\\, \\x01, \\u0001 and ^A.")
        .derived("\\t", BY_PRESET);
    FIELDS_ENCLOSED_BY = Setting::new(Format, "fields-enclosed-by", Delimiter,
        "The quote character around every field; empty for none")
        .derived("", BY_PRESET).value("CHAR");
    FIELDS_OPTIONALLY_ENCLOSED_BY = Setting::new(Format, "fields-optionally-enclosed-by", Delimiter,
        "The quote character around some fields; empty for none")
        .more("Use this instead of fields-enclosed-by.").derived("", BY_PRESET).value("CHAR");
    FIELDS_ESCAPED_BY = Setting::new(Format, "fields-escaped-by", Delimiter,
        "The escape character; empty for none")
        .derived("\\\\", BY_PRESET).value("CHAR");
    LINES_TERMINATED_BY = Setting::new(Format, "lines-terminated-by", Delimiter,
        "The terminator of lines")
        .more("auto: CRLF or LF is detected for each object.").derived("\\n", BY_PRESET);
    IGNORE_LINES = Setting::new(Format, "ignore-lines", Integer { min: 0, max: u64::MAX },
        "The number of header lines to skip in each object")
        .derived("0", "1 with match-columns name")
        .common();
    MATCH_COLUMNS = Setting::new(Format, "match-columns", Choice(MatchColumns::VARIANTS),
        "How the fields of an object find their columns")
        .more("position: the fields are in the order of columns, or of the table. name: the last \
               ignored line of each object names the columns of its fields, in any order; columns \
               then limits which of them are loaded.")
        .default("position")
        .common();
    EXTRA_COLUMNS = Setting::new(Format, "extra-columns", Choice(ExtraColumns::VARIANTS),
        "What to do with names in an object that are no columns")
        .more("error: refuse the object, or the row of JSON, because a name that is misspelled is \
               one of these. ignore: leave their values out.")
        .derived("error", "ignore if field is set");
    MISSING_COLUMNS = Setting::new(Format, "missing-columns", Choice(MissingColumns::VARIANTS),
        "What to do with columns that an object does not name")
        .more("default: they get their default, and the object fails if one has none. error: the \
               object fails.")
        .default("default");
    PARTITION_COLUMNS = Setting::new(Format, "partition-columns", Text,
        "The columns that NAME=VALUE parts of the key fill, as in dt,region")
        .more("auto: each part that is named like a column, but an object of JSON with such a part \
               fails. none: no part.")
        .derived("none", "auto with match-columns name and with JSON").value("LIST");
    CHARSET = Setting::new(Format, "charset", Text,
        "The character set of the objects, as MySQL names it")
        .more("A UTF-8 byte order mark is dropped.").default("utf8mb4").value("NAME");
    COLUMNS = Setting::new(Format, "columns", Text,
        "The columns in the order of the fields, as in a,@skip,b")
        .more("@NAME reads a field into a variable, to drop the field or to use it in --set. Quote \
               unusual names with backticks. If not set, fields go to the columns of the table in \
               their order. JSON goes by names, and only into these columns if they are set.")
        .value("LIST")
        .common();
    SET = Setting::new(Format, "set", List,
        "Set a column to an SQL expression, as in day=DATE(@t) (repeatable)")
        .value("COLUMN=EXPR");
    NULL_STRING = Setting::new(Format, "null-string", List,
        "A field value that means NULL (repeatable)")
        .more("These values are added to what the dialect itself reads as NULL. An empty value \
               makes empty fields NULL. If set, it replaces the values of the preset.");
    FIELD = Setting::new(Format, "field", List,
        "The path in JSON of a column's value, as in city=$.address.city (repeatable)")
        .more("A path has members and indexes, as in $.user.tags[0]['odd key']; $ is the whole \
               record. @NAME instead of a column reads the value into a variable for --set.")
        .value("COLUMN=PATH");
    ROWS_AT = Setting::new(Format, "rows-at", Text,
        "The path of the array in JSON whose elements are the rows, as in $.Records")
        .more("Only with --format json.")
        .value("PATH");
    MISSING_KEYS = Setting::new(Format, "missing-keys", Choice(MissingKeys::VARIANTS),
        "What to do if a record of JSON lacks a key")
        .more("null: load NULL. error: the row is bad.")
        .default("null");
    EMPTY_AS_NULL = Setting::new(Format, "empty-as-null", Switch { opposite: "no-empty-as-null" },
        "Load empty fields as NULL, except in text columns");
    TIME_ZONE = Setting::new(Format, "time-zone", Text,
        "The time zone of dates and times that have no offset")
        .more("A name such as Europe/Rome, an offset such as +02:00, or UTC. A TIMESTAMP column \
               gets the instant. A DATETIME column gets times without an offset as they are, and \
               instants, which end in Z or an offset, as the clock of this zone shows them.")
        .default("UTC").value("ZONE");
    DECIMAL_COMMA = Setting::new(Format, "decimal-comma", Switch { opposite: "no-decimal-comma" },
        "Read a comma as the decimal point of numbers, as in 1.234,56");
    DATE_FORMAT = Setting::new(Format, "date-format", List,
        "The format of a column's dates, as in day=%d.%m.%Y (repeatable)")
        .more("The directives are those of strftime: %Y %y %m %d %e %b %B %H %I %p %M %S %f %z %s \
               %F %T and %%.")
        .value("COLUMN=FORMAT");
    BINARY = Setting::new(Format, "binary", Choice(BinaryReading::VARIANTS),
        "How the fields of BINARY, VARBINARY and BLOB columns are written")
        .more("auto: as the bytes themselves, and the fields of BIT columns as numbers. raw: the \
               fields of BIT columns are bytes, too. hex: as hexadecimal digits, perhaps after 0x \
               or \\x. base64: as Base64.")
        .default("auto");

    DATABASE_URL = Setting::new(Target, "database-url", Text,
        "mysql://USER:PASSWORD@HOST:PORT/DATABASE")
        .more("Percent-encode / ? # @ : and % in the user, password and database. The URL may end \
               in ?ssl-mode=… and may also set ssl-ca, ssl-cert, ssl-key and socket that way. The \
               option for a part overrides that part of the URL. Other users of the machine can \
               read a password given here on the command line. DATABASE_URL is used if nothing \
               else sets this.")
        .value("URL")
        .common();
    HOST = Setting::new(Target, "host", Text, "The host of the database server")
        .more("localhost also means TCP. To use a unix socket, set socket.")
        .default("127.0.0.1").value("HOST");
    PORT = Setting::new(Target, "port", Integer { min: 1, max: 65535 },
        "The TCP port of the database server")
        .default("3306").flag(Flag::Short('P')).value("PORT");
    SOCKET = Setting::new(Target, "socket", Path, "Connect through this unix socket instead of TCP")
        .flag(Flag::Short('S'));
    USER = Setting::new(Target, "user", Text, "The database user")
        .flag(Flag::Short('u')).value("NAME");
    PASSWORD = Setting::new(Target, "password", Text, "The password of the database user")
        .more("There is no flag for it, because other users could read it. MYSQL_PWD is used if \
               nothing else sets a password.")
        .secret();
    PASSWORD_FILE = Setting::new(Target, "password-file", Path,
        "A file that contains the password and nothing else")
        .more("One line ending at the end of the file is dropped.");
    DATABASE = Setting::new(Target, "database", Text, "The default database of the connection")
        .flag(Flag::Short('D')).value("NAME");
    TABLE = Setting::new(Target, "table", Text, "The table to load into: TABLE or DATABASE.TABLE")
        .more("The name is split at the first dot outside backticks. Quote names with backticks, \
               as in `odd.db`.`odd table`.")
        .value("TABLE")
        .common();
    CREATE_TABLE = Setting::new(Target, "create-table", Switch { opposite: "no-create-table" },
        "Create the table if it does not exist, with types guessed from the first rows")
        .more("plan prints the statement and why each column has its type. load runs it. The run \
               that finds no table treats notes as bad.");
    PRIMARY_KEY = Setting::new(Target, "primary-key", Text,
        "The columns of the primary key of a table that create-table creates, as in a,b")
        .value("LIST");
    SSL_MODE = Setting::new(Target, "ssl-mode", Choice(SslMode::VARIANTS),
        "How the connection is encrypted, and what is verified")
        .more("The modes have the names and meanings of the mysql client. Case does not matter.")
        .derived("PREFERRED", "PREFERRED on loopback addresses and sockets, otherwise REQUIRED")
        .value("MODE");
    SSL_CA = Setting::new(Target, "ssl-ca", Path,
        "The certificate authorities that may sign the server's certificate (PEM)");
    SSL_CERT = Setting::new(Target, "ssl-cert", Path,
        "The certificate of the client (PEM); needs ssl-key");
    SSL_KEY = Setting::new(Target, "ssl-key", Path,
        "The private key of the client (PEM); needs ssl-cert");
    GET_SERVER_PUBLIC_KEY = Setting::new(Target, "get-server-public-key",
        Switch { opposite: "no-get-server-public-key" },
        "Without TLS, encrypt the password with whatever RSA key the server sends")
        .more("Whoever can answer in the server's place can then read the password, so use this \
               only where nobody can. With a host other than this machine, it also needs ssl-mode \
               DISABLED. Without it, an account of caching_sha2_password whose hash the server has \
               not cached cannot log in without TLS.");
    SERVER_PUBLIC_KEY_PATH = Setting::new(Target, "server-public-key-path", Path,
        "The server's public RSA key (PEM), to encrypt the password without TLS")
        .more("It is public_key.pem in the server's data directory. The server must have this \
               key.");
    COMPRESS = Setting::new(Target, "compress", Choice(Compress::VARIANTS),
        "Compression of the data sent to the server")
        .more("auto: compress if a round trip to the server takes 10 ms or more. zlib: always \
               compress; one second of CPU time compresses about 100 MB. off: never compress. A \
               unix socket is never compressed.")
        .default("auto");
    INIT_SQL = Setting::new(Target, "init-sql", List,
        "An SQL statement to run on every new connection (repeatable)")
        .more("It runs after the statements that set up the session, and can undo them. Use it at \
               your own risk: this can break the guarantees of a load.")
        .value("SQL");

    LEDGER_TABLE = Setting::new(Ledger, "ledger-table", Text,
        "The prefix of the names of the ledger's tables")
        .more("The tables are in the database of the target, unless this is written DATABASE.NAME. \
               The name has at most 40 characters. The tables NAME_objects, NAME_jobs and so on \
               are created when they are first needed. They record which objects are loaded, in \
               the same transactions as the rows, so every run loads only what is missing.")
        .default("s3_to_mysql").value("NAME");
    NO_LEDGER = Setting::new(Ledger, "no-ledger", Switch { opposite: "ledger" },
        "Keep no record of what is loaded; every run loads everything")
        .more("Objects are loaded at least once instead of exactly once. If you repeat a run, it \
               loads its objects again. If the connection is lost during COMMIT, nothing can tell \
               whether the object was loaded.");
    ON_CHANGED = Setting::new(Ledger, "on-changed", Choice(OnChanged::VARIANTS),
        "What to do with an object that was loaded with another ETag")
        .more("error: the object fails. load: its rows are added, and the rows of its earlier \
               content stay. skip: the object is skipped.")
        .default("error");
    FORCE = Setting::new(Ledger, "force", Switch { opposite: "no-force" },
        "Also load objects that the ledger records as loaded")
        .more("Their rows are then in the table twice, unless a unique key prevents it. With mode \
               truncate or swap, this begins a new job, even if an earlier job is unfinished.");
    NO_RETRY_FAILED = Setting::new(Ledger, "no-retry-failed", Switch { opposite: "retry-failed" },
        "Skip objects that an earlier run failed to load")
        .more("They count as failed again. Objects whose content has changed since then are tried \
               anyway.");

    MODE = Setting::new(Loading, "mode", Choice(Mode::VARIANTS),
        "What happens to the rows that are already in the table")
        .more("append: they stay. truncate: the table is emptied first, once for each job; a run \
               that resumes an unfinished job does not empty it again. swap: the objects are \
               loaded into a new table like the target, which replaces the target in one step when \
               all of them are loaded.")
        .default("append")
        .common();
    SWAP_KEEP_OLD = Setting::new(Loading, "swap-keep-old", Switch { opposite: "no-swap-keep-old" },
        "Keep the table that a swap replaced, as TABLE_old")
        .more("It replaces the TABLE_old that an earlier swap kept. Only with mode swap.");
    LOAD_CONCURRENCY = Setting::new(Loading, "load-concurrency", Integer { min: 1, max: 1024 },
        "The maximum number of connections that load at the same time")
        .more("A run starts with all of them. It continues with half as many when transactions \
               deadlock or time out waiting for locks, and with those it has when the server has \
               no connection left. It adds one back after every five seconds without trouble.")
        .default("8");
    BATCH_BYTES = Setting::new(Loading, "batch-bytes", Size,
        "The number of bytes of small objects that share a transaction")
        .more("Larger transactions are not faster, and cost more to repeat.").default("8MiB");
    NO_BATCH = Setting::new(Loading, "no-batch", Switch { opposite: "batch" },
        "Load every object in its own transaction, however small it is")
        .more("By default, up to 500 small objects share a transaction. If it fails, they are \
               loaded one by one.");
    PART_SIZE = Setting::new(Loading, "part-size", Size,
        "The size of the parts in which larger objects are loaded")
        .more("Each part has its own transaction, and a run that resumes loads only the missing \
               parts. An object keeps the part size that it was begun with.")
        .default("64MiB");
    NO_SPLIT = Setting::new(Loading, "no-split", Switch { opposite: "split" },
        "Load every object in one transaction, however large it is")
        .more("Every object must then fit into staging-budget.");
    DEFER_INDEXES = Setting::new(Loading, "defer-indexes", Switch { opposite: "no-defer-indexes" },
        "Load without the secondary indexes, and add them at the end of the job")
        .more("They are added in one ALTER TABLE, before a swap. Only with mode truncate or swap. \
               With truncate, readers of the table do without these indexes until the job has \
               ended. Primary and unique keys stay, because they detect duplicates, and so do \
               indexes that foreign keys, AUTO_INCREMENT or expressions need. If a job is \
               interrupted, the ledger keeps the indexes that are still missing: run the same \
               command again to add them. status shows them.");
    MAX_RATE = Setting::new(Loading, "max-rate", Size,
        "The maximum number of bytes read from S3 per second")
        .more("The limit applies to the run as a whole.");
    MAX_THREADS_RUNNING = Setting::new(Loading, "max-threads-running", Text,
        "Start no load while more than this number of threads run on the server")
        .more("This is the server's status variable Threads_running, without the threads of this \
               run.")
        .value("N");
    MAX_LAG = Setting::new(Loading, "max-lag", Text,
        "Start no load while a replica lags behind by more than this")
        .more("Name the replicas with replica. A replica that does not replicate, or no longer \
               answers, counts as lagging.")
        .value("DURATION");
    REPLICAS = Setting::new(Loading, "replica", List,
        "A replica to watch for max-lag: HOST or HOST:PORT (repeatable)")
        .more("The user, the password, the encryption and, if none is named, the port are those of \
               the target. The account needs REPLICATION CLIENT there, or REPLICA MONITOR on \
               MariaDB.")
        .value("HOST");
    ON_BAD_ROW = Setting::new(Loading, "on-bad-row", Choice(OnBadRow::VARIANTS),
        "What to do with a row that the table does not accept as it is")
        .more("A bad row has a value that does not fit, has too few or too many fields, or is \
               refused by a CHECK, a foreign key, the partitions or a view. fail: the whole object \
               is rolled back, and the error shows its first bad rows. reject: bad rows are \
               written to --rejects, and the others are loaded. accept: rows are stored as the \
               server adapts them, and the changes are counted and reported.")
        .default("fail")
        .common();
    ON_DUPLICATE = Setting::new(Loading, "on-duplicate", Choice(OnDuplicate::VARIANTS),
        "What to do with a row whose unique key is already in the table")
        .more("error: the whole object is rolled back. ignore: the row is skipped and counted. \
               replace: the row replaces the one in the table. update: the row in the table gets \
               the new values (INSERT ... ON DUPLICATE KEY UPDATE). reject: the row is written to \
               --rejects.")
        .default("error");
    UPDATE_COLUMNS = Setting::new(Loading, "update-columns", Text,
        "The columns that on-duplicate update sets, as in a,b")
        .more("If not set, every loaded column that is in no unique key.").value("LIST");
    NOTES_AS_BAD = Setting::new(Loading, "notes-as-bad", Switch { opposite: "no-notes-as-bad" },
        "Treat rows that the server only notes (level Note) as bad")
        .more("For example a decimal that loses digits. Otherwise notes are counted and reported.");
    SHOW_BAD_ROWS = Setting::new(Loading, "show-bad-rows", Integer { min: 1, max: 1000 },
        "The maximum number of bad rows that the error of an object shows").default("10");
    REJECTS = Setting::new(Loading, "rejects", Text,
        "Where to write rejected rows: a directory or s3://BUCKET/PREFIX/")
        .more("Each object with rejected rows gets two files. One has the rows as they stand in \
               the object, so you can correct them and load them with the same options. The other \
               ends in .jsonl and has the reasons.")
        .value("DIR")
        .common();
    MAX_REJECTS = Setting::new(Loading, "max-rejects", Text,
        "The maximum number of rejected rows in one object: 100 or 5%")
        .more("An object with more fails and is rolled back.").value("N");
    MAX_REJECTS_TOTAL = Setting::new(Loading, "max-rejects-total", Text,
        "The maximum number of rejected rows in total")
        .more("The object that would exceed it fails, is rolled back and ends the run. Objects \
               loaded before it stay. The rejected rows of an object with the error \
               outcome_unknown are not counted, so a run may exceed the total by the rows that \
               were in flight.")
        .value("N");
    VERIFY = Setting::new(Loading, "verify", Choice(Verify::VARIANTS),
        "How the whole table is compared with the objects at the end of a job")
        .more("checksum: a checksum over all rows as the server stored them must equal one \
               computed from the objects. Otherwise the job does not end and nothing is swapped. \
               Only with mode truncate or swap. Columns whose values can be written in several \
               ways, such as FLOAT, are not compared; the summary names them.")
        .default("none");

    MAX_ATTEMPTS = Setting::new(Retries, "max-attempts", Integer { min: 1, max: 1000 },
        "The maximum number of attempts for one operation, including the first").default("8");
    RETRY_MAX_ELAPSED = Setting::new(Retries, "retry-max-elapsed", Duration,
        "The maximum time for which one operation is retried")
        .more("A duration is written like 500ms, 30s, 15m or 1h30m.").default("15m");
    CONNECT_TIMEOUT = Setting::new(Retries, "connect-timeout", Duration,
        "The maximum time to establish a connection")
        .default("10s");
    WAIT = Setting::new(Retries, "wait", Duration,
        "Wait this long for the database and the store to answer [without a value: 60s]")
        .more("Before anything else, and again if they go away before the first object. It waits \
               for servers that cannot be reached or found, start, stop or have no connection \
               left, and for a database or bucket that does not exist yet. A wrong password is \
               reported at once. Write --wait or --wait=5m.")
        .bare("60s");
    STALL_TIMEOUT = Setting::new(Retries, "stall-timeout", Duration,
        "The maximum time that a transfer may go without moving a byte")
        .more("A statement may take longer while the database server works on it. The server is \
               asked whether it does each time that this time has passed.")
        .default("60s");

    REPORT = Setting::new(Output, "report", Path,
        "Write the outcome of every object to this file, as JSON Lines")
        .more("{run_id} and {date} (UTC) in the name stand for those of the run. The file gets its \
               name at the end of the run. Until then it is NAME.RUN_ID.partial, which a run that \
               is killed leaves behind. - is standard output; the summary then goes to standard \
               error. s3://BUCKET/KEY is uploaded at the end.");
    REPORT_ONLY = Setting::new(Output, "report-only", Choice(ReportOnly::VARIANTS),
        "The objects that the report has lines for")
        .more("new: leave out objects that were loaded before.").default("all");
    FAILED_KEYS = Setting::new(Output, "failed-keys", Path,
        "Write the keys of failed objects to this file, for --keys-from")
        .more("The name may have the placeholders of report.");
    FAIL_ON = Setting::new(Output, "fail-on", Choice(FailOn::VARIANTS),
        "The failed objects for which the exit code is 3")
        .more("any: all of them. new: those whose content no earlier run failed to load, so that a \
               nightly run alerts once for each of them. The others are tried again, but the exit \
               code does not tell that they are missing in the table; the summary does. It needs \
               the ledger, and mode append.")
        .default("any");
    SUMMARY = Setting::new(Output, "summary", Choice(SummaryForm::VARIANTS),
        "The form of the summary on standard output")
        .more("auto: table on a terminal, otherwise text. text: lines of a key and a value, in a \
               form that stays stable for scripts. json: one line, the same as the last line of \
               --report.")
        .default("auto");
    HTML = Setting::new(Output, "html", Path,
        "Write a page with a picture of the run to this file")
        .more("One file of HTML without scripts, which loads nothing: the verdict, the counts, \
               what failed and why, a timeline of the connections, the throughput and the \
               settings. It quotes bad rows, so only you can read it. The name may have the \
               placeholders of report. `s3-to-mysql report` makes the same page from reports.");
    SUMMARY_FILE = Setting::new(Output, "summary-file", Path,
        "Write the end of a load or check to this file, as Markdown")
        .more("For the page of a CI system: what happened, a table of counts, and the failures by \
               cause. In GitHub Actions, the same goes to $GITHUB_STEP_SUMMARY by itself.");
    METRICS_FILE = Setting::new(Output, "metrics-file", Path,
        "Write the metrics of a load to this file, for node_exporter")
        .more("The file is for the textfile collector, so its name ends in .prom. Give each table \
               its own file.");
    METRICS_PUSH = Setting::new(Output, "metrics-push", Text,
        "Push the metrics of a load to the Prometheus Pushgateway at this URL")
        .more("http://USER:PASSWORD@HOST:PORT, of which the login is optional. Other users of the \
               machine can read a password given here on the command line.")
        .value("URL");
    METRICS_LABELS = Setting::new(Output, "metrics-label", List,
        "A label to add to every metric, as in env=prod (repeatable)")
        .value("NAME=VALUE");
    LOG_FORMAT = Setting::new(Output, "log-format", Choice(LogFormat::VARIANTS),
        "The format of log lines on standard error")
        .default("text");
    VERBOSITY = Setting::new(Output, "verbosity", Verbosity, "The amount of logging")
        .more("The default is 0. Each -v adds one, and each -q subtracts one. With -q, load and \
               check print nothing if all is well, and otherwise what went wrong. With -qq, they \
               print nothing at all.")
        .default("0").flag(Flag::Counted);
    PROGRESS = Setting::new(Output, "progress", Choice(ProgressMode::VARIANTS),
        "The form in which progress is shown")
        .more("auto: bars on a terminal, otherwise log lines.").default("auto");
}
