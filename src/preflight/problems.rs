//! Finds what is wrong with the target for this load: the problems that prevent it, and those that
//! the user should only know.

use super::options::PreflightOptions;
use crate::dialect::ColumnOrVariable;
use crate::error::{Error, ErrorKind};
use crate::mysql::{Server, TableSchema};
use crate::nearest::nearest;
use crate::policy::{OnBadRow, OnDuplicate};

const SPLITS_LOAD_DATA: &str =
    "wsrep_load_data_splitting is ON: the cluster commits every 10,000 rows of a load by itself";

/// The engines that can roll back.
const TRANSACTIONAL_ENGINES: [&str; 4] = ["InnoDB", "ROCKSDB", "TokuDB", "ndbcluster"];

/// The target, and its name in messages.
pub(super) struct TargetTable<'a> {
    pub(super) name: String,
    pub(super) schema: &'a TableSchema,
}

impl TargetTable<'_> {
    /// Returns true if the engine can roll back. A view's engine is unknown, and counts as one that
    /// can.
    pub(super) fn rolls_back(&self) -> bool {
        self.schema.engine.as_deref().is_none_or(|engine| {
            TRANSACTIONAL_ENGINES.iter().any(|known| known.eq_ignore_ascii_case(engine))
        })
    }

    /// Returns why a second LOAD must wait for the end of the first one, if it must.
    pub(super) fn is_loaded_one_at_a_time(&self, server: &Server) -> Option<&'static str> {
        let reason = server.serialises_auto_increment()?;
        let numbers_rows = if server.misleads_replicas() {
            self.may_number_rows()
        } else {
            self.schema.has_auto_increment()
        };
        numbers_rows.then_some(reason)
    }

    /// Returns true if loads number rows, here or by triggers in other tables.
    pub(super) fn may_number_rows(&self) -> bool {
        self.schema.has_auto_increment() || !self.schema.triggers.is_empty()
    }

    /// Returns what prevents the load, apart from what belongs to the mode of the job.
    pub(super) fn problems(
        &self,
        options: &PreflightOptions<'_>,
        server: &Server,
        columns: &[ColumnOrVariable],
    ) -> Vec<Error> {
        let mut problems = self.promises_that_cannot_be_kept(options, server);
        problems.extend(self.missing_columns(options, columns));
        problems.extend(self.computed_columns(options));
        problems
    }

    /// Returns what the ledger, rejects and updates promise, and this table or this server cannot
    /// keep.
    fn promises_that_cannot_be_kept(
        &self,
        options: &PreflightOptions<'_>,
        server: &Server,
    ) -> Vec<Error> {
        let mut problems = Vec::new();
        if !self.rolls_back() && options.ledger.table.is_some() {
            let engine = self.schema.engine.as_deref().unwrap_or_default();
            let message = format!(
                "{}: its engine {engine} does not roll back, so a failed object would leave some \
                 of its rows behind, and no ledger could be right about them",
                self.name
            );
            problems.push(Error::new(ErrorKind::TargetRefused, message).with_hint(
                "ALTER TABLE ... ENGINE=InnoDB, or load into an InnoDB table first; --no-ledger \
                 loads into the table as it is, without any guarantee",
            ));
        }
        if !self.rolls_back()
            && (options.load.may_reject() || options.load.on_duplicate == OnDuplicate::Update)
        {
            let message = format!(
                "{}: bad rows cannot be removed after they are loaded, because its engine does not \
                 roll back",
                self.name
            );
            problems.push(
                Error::new(ErrorKind::TargetRefused, message)
                    .with_hint("ALTER TABLE ... ENGINE=InnoDB, or leave out reject and update"),
            );
        }
        if self.schema.is_view() && options.ledger.table.is_some() {
            let message = format!(
                "{} is a view: the ledger would not know which table has the rows, nor if that \
                 table can roll back",
                self.name
            );
            problems.push(Error::new(ErrorKind::TargetRefused, message).with_hint(
                "name the base table in --table; --no-ledger loads through the view, at least once",
            ));
        }
        if server.splits_load_data() && options.ledger.table.is_some() {
            let message = format!("{SPLITS_LOAD_DATA}, and no ledger could be right about them");
            problems.push(Error::new(ErrorKind::TargetRefused, message).with_hint(
                "have wsrep_load_data_splitting switched off, or use --no-ledger, which loads each \
                 object at least once",
            ));
        }
        problems
    }

    /// Returns the columns that the settings name and the table lacks.
    fn missing_columns(
        &self,
        options: &PreflightOptions<'_>,
        columns: &[ColumnOrVariable],
    ) -> Vec<Error> {
        let mut problems = Vec::new();
        let named = columns
            .iter()
            .filter_map(|item| match item {
                ColumnOrVariable::Column(name) => {
                    let listed = options.format.columns.as_ref();
                    let is_listed = listed.is_some_and(|listed| listed.contains(item));
                    let json = options.format.json.as_ref();
                    let is_field = json.is_some_and(|json| json.path_of(item).is_some());
                    let option = match (is_listed, is_field) {
                        (true, _) => "--columns",
                        (false, true) => "--field",
                        (false, false) => "--partition-columns",
                    };
                    Some((name, option))
                }
                ColumnOrVariable::Variable(_) => None,
            })
            .chain(options.format.set.iter().map(|(name, _)| (name, "--set")))
            .chain(
                options.load.update_columns.iter().flatten().map(|name| (name, "--update-columns")),
            );
        for (name, flag) in named {
            // Both servers compare column names without case.
            if self.schema.column(name).is_some() {
                continue;
            }
            let error = Error::new(
                ErrorKind::TargetRefused,
                format!("{}: there is no column {name:?}, named in {flag}", self.name),
            );
            problems.push(
                match nearest(name, self.schema.columns.iter().map(|column| column.name.as_str())) {
                    Some(near) => error.with_hint(format!("did you mean {near:?}?")),
                    None => error,
                },
            );
        }
        problems
    }

    /// Returns the columns that an update cannot set.
    fn computed_columns(&self, options: &PreflightOptions<'_>) -> Vec<Error> {
        let mut problems = Vec::new();
        // MariaDB would accept such a statement, but not set the column.
        for name in options.load.update_columns.iter().flatten() {
            if self.schema.column(name).is_some_and(|column| column.is_generated) {
                let message = format!(
                    "{}: the server computes column {name:?}, named in --update-columns",
                    self.name
                );
                problems.push(
                    Error::new(ErrorKind::TargetRefused, message)
                        .with_hint("leave it out: the server sets it from the other columns"),
                );
            }
        }
        problems
    }

    /// Returns what the user should know, although the load begins.
    pub(super) fn warnings(
        &self,
        options: &PreflightOptions<'_>,
        server: &Server,
        columns: &[ColumnOrVariable],
    ) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.rolls_back() {
            warnings.push(format!(
                "{}: its engine does not roll back: an object that fails may leave rows behind, \
                 and is not tried again",
                self.name
            ));
        }
        if server.splits_load_data() && options.ledger.table.is_none() {
            warnings.push(format!(
                "{SPLITS_LOAD_DATA}, so a failed object leaves rows behind; have it switched off"
            ));
        }
        let ignored: Vec<&str> = self
            .schema
            .columns
            .iter()
            .filter(|column| column.is_generated)
            .map(|column| column.name.as_str())
            .filter(|name| {
                columns.iter().any(|item| {
                    matches!(
                        item,
                        ColumnOrVariable::Column(listed) if listed.eq_ignore_ascii_case(name)
                    )
                })
            })
            .collect();
        // By name, an object need not have a field for them.
        let is_listed = options.format.columns.is_some() || !options.format.names.by_name();
        if is_listed && !ignored.is_empty() {
            warnings.push(format!(
                "{}: the server computes {} and ignores their fields in the objects; list \
                 @variables for them in --columns to confirm this",
                self.name,
                ignored.join(", ")
            ));
        }
        if self.schema.is_view() {
            warnings.push(format!(
                "{} is a view: it is unknown if its base table can roll back",
                self.name
            ));
        }
        if options.load.on_bad_row == OnBadRow::Accept {
            warnings.push(
                "--on-bad-row accept: MySQL changes values that do not fit; see the warnings per \
                 object"
                    .to_owned(),
            );
        }
        warnings
    }
}
