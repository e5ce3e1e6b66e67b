//! Makes the layouts of objects: by the order of their fields or by the names in their headers, and
//! with what their keys add.

use std::sync::Arc;

use super::layout::{AddedField, Layout};
use super::options::LoadConfig;
use super::plan::Plan;
use super::rule_source::RuleSource;
use crate::columns::{KeyFact, NameMatcher, NameProblem, Partition, is_column, json_columns};
use crate::dialect::{
    ColumnOrVariable, FormatConfig, PartitionColumns, set_variables, variables_in,
};
use crate::mysql::{Flavor, TableSchema};
use crate::sql_text::{may_set_time_zone, same_name};
use crate::verify::ComparePlan;

/// Everything about an object that decides its layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LayoutKey {
    /// The names in the header, if fields go by names.
    pub(crate) header: Option<Vec<String>>,
    /// The columns that the partitions of the key fill.
    pub(crate) partitions: Vec<String>,
}

/// Makes layouts.
#[derive(Clone, Debug)]
pub struct LayoutMaker {
    schema: Arc<TableSchema>,
    rules: RuleSource,
    /// The column list if fields go by position.
    columns: Vec<ColumnOrVariable>,
    has_list: bool,
    /// `None` if fields go by position.
    matcher: Option<NameMatcher>,
    /// The facts that expressions of `--set` use, with their variables.
    facts: Vec<(String, KeyFact)>,
    partitions: PartitionColumns,
    is_json: bool,
    /// The columns that `--set` fills.
    set: Vec<String>,
    /// The columns that records of JSON fill by their names.
    record_columns: Vec<String>,
    /// The columns that the fields or the key must fill, if fields go by position.
    needed: Vec<String>,
    pub(crate) verification: Option<Arc<ComparePlan>>,
}

impl LayoutMaker {
    /// Creates a maker for a table. `init_sql` are the user's own statements.
    #[must_use]
    pub fn new(
        schema: &Arc<TableSchema>,
        format: &FormatConfig,
        load: &LoadConfig,
        flavor: Flavor,
        init_sql: &[String],
    ) -> Self {
        let sets_time_zone = init_sql.iter().any(|sql| may_set_time_zone(sql));
        let visible = || {
            let visible = schema.columns.iter().filter(|column| !column.is_invisible);
            visible.map(|column| ColumnOrVariable::Column(column.name.clone())).collect()
        };
        let columns: Vec<ColumnOrVariable> = match &format.json {
            Some(json) => json_columns(schema, format, json),
            None => format.columns.clone().unwrap_or_else(visible),
        };
        let of_session: Vec<String> =
            init_sql.iter().flat_map(|sql| variables_in(sql)).map(|(name, _)| name).collect();
        let is_of_session = |name: &str| of_session.iter().any(|it| same_name(it, name));
        let is_listed = |name: &str| {
            columns.iter().any(|item| match item {
                ColumnOrVariable::Variable(listed) => same_name(listed, name),
                ColumnOrVariable::Column(_) => false,
            })
        };
        let facts: Vec<(String, KeyFact)> = set_variables(&format.set)
            .into_iter()
            .filter(|name| !is_listed(name) && !is_of_session(name))
            .filter_map(|name| KeyFact::of(&name).map(|fact| (name, fact)))
            .collect();
        let matcher = format.names.by_name().then(|| {
            let is_known = |name: &str| {
                is_of_session(name) || facts.iter().any(|(fact, _)| same_name(fact, name))
            };
            NameMatcher::new(schema, format, is_known)
        });
        let record_columns = format.json.iter().flat_map(|json| {
            columns.iter().filter_map(|item| match item {
                ColumnOrVariable::Column(name) if json.path_of(item).is_none() => {
                    Some(name.clone())
                }
                _ => None,
            })
        });
        let is_set = |name: &str| format.set.iter().any(|(column, _)| same_name(column, name));
        let may_be_filled_by_trigger =
            schema.has_before_insert_trigger() && flavor == Flavor::Mysql;
        let needed = schema.columns.iter().filter(|column| {
            !column.has_default && !column.is_auto_increment && !column.is_generated
        });
        let needed = needed.map(|column| column.name.clone()).filter(|name| !is_set(name));
        Self {
            record_columns: record_columns.collect(),
            needed: if may_be_filled_by_trigger { Vec::new() } else { needed.collect() },
            rules: RuleSource::new(
                Arc::clone(schema),
                format.clone(),
                load.clone(),
                flavor,
                sets_time_zone,
            ),
            schema: Arc::clone(schema),
            columns,
            // Records need not have the columns that partitions fill.
            has_list: format.columns.is_some() && format.json.is_none(),
            matcher,
            facts,
            partitions: format.names.partition_columns.clone(),
            is_json: format.json.is_some(),
            set: format.set.iter().map(|(column, _)| column.clone()).collect(),
            verification: None,
        }
    }

    /// Returns true if the header of an object decides its layout.
    pub(crate) fn goes_by_name(&self) -> bool {
        self.matcher.is_some()
    }

    /// Returns the matcher of names, if fields go by names.
    pub(crate) fn matcher(&self) -> Option<&NameMatcher> {
        self.matcher.as_ref()
    }

    /// Returns true if something may be added to the rows of objects.
    pub(crate) fn may_add(&self) -> bool {
        !self.facts.is_empty() || self.partitions != PartitionColumns::None
    }

    /// Returns the partitions that every key must have.
    fn ordinary(&self) -> Vec<String> {
        match &self.partitions {
            PartitionColumns::Named(names) => self.spelled(names.iter().map(String::as_str)),
            PartitionColumns::Auto | PartitionColumns::None => Vec::new(),
        }
    }

    /// Returns everything that fields and keys may fill, for the checks before the first object.
    pub(crate) fn possible_items(&self) -> Vec<ColumnOrVariable> {
        let mut items = match &self.matcher {
            Some(matcher) => matcher.items().to_vec(),
            None => self.columns.clone(),
        };
        if let PartitionColumns::Named(names) = &self.partitions {
            for name in names {
                let is_it = |item: &ColumnOrVariable| is_column(item, name);
                if !items.iter().any(is_it) {
                    items.push(ColumnOrVariable::Column(name.clone()));
                }
            }
        }
        items
    }

    /// Returns the key of the layout of an object with these names in its header and these
    /// partitions in its key.
    pub(crate) fn key(&self, header: Option<Vec<String>>, partitions: &[Partition]) -> LayoutKey {
        if self.partitions != PartitionColumns::Auto || self.is_json {
            return LayoutKey { header, partitions: self.ordinary() };
        }
        let is_wanted = |name: &str| {
            let is_it = |item: &ColumnOrVariable| is_column(item, name);
            let is_in_list =
                !self.has_list || self.matcher.is_none() || self.columns.iter().any(is_it);
            let column = self.schema.column(name);
            let is_set = self.set.iter().any(|set| same_name(set, name));
            is_in_list && !is_set && column.is_some_and(|column| !column.is_generated)
        };
        let names = partitions.iter().map(|partition| partition.name.as_str());
        LayoutKey { header, partitions: self.spelled(names.filter(|name| is_wanted(name))) }
    }

    /// Returns the names as the table spells them, each once.
    fn spelled<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<String> {
        let mut spelled: Vec<String> = Vec::new();
        for name in names {
            let name = self.schema.column(name).map_or(name, |column| &column.name);
            if !spelled.iter().any(|known| known == name) {
                spelled.push(name.to_owned());
            }
        }
        spelled
    }

    /// Makes the layout that stands for all of the run.
    pub(crate) fn ordinary_layout(&self, plan: &Plan) -> Layout {
        let partitions = self.ordinary();
        let columns = self.listed_columns(&partitions);
        self.layout(plan, columns, &partitions)
    }

    /// Makes the layout with which the statement is tried before the first object. A column that
    /// must have a value gets it from the key, if nothing else fills it.
    pub(crate) fn rehearsed_layout(&self, plan: &Plan) -> Layout {
        let mut partitions = self.ordinary();
        let is_by_key =
            self.matcher.is_none() && !self.is_json && self.partitions == PartitionColumns::Auto;
        if is_by_key {
            let is_listed = |name: &&String| self.columns.iter().any(|item| is_column(item, name));
            partitions.extend(self.needed.iter().filter(|name| !is_listed(name)).cloned());
        }
        let columns = self.listed_columns(&partitions);
        self.layout(plan, columns, &partitions)
    }

    /// Makes a layout.
    ///
    /// # Errors
    /// The problem with the names in the header.
    pub(crate) fn make(&self, plan: &Plan, key: &LayoutKey) -> Result<Layout, NameProblem> {
        let columns = match (&self.matcher, &key.header) {
            (Some(matcher), Some(names)) => matcher.columns_of(names, &key.partitions)?,
            _ => {
                let columns = self.listed_columns(&key.partitions);
                self.ensure_filled(&columns, &key.partitions)?;
                columns
            }
        };
        Ok(self.layout(plan, columns, &key.partitions))
    }

    /// Returns the name of a partition that may or may not stand for the values of records.
    pub(crate) fn unclear_partition<'key>(
        &self,
        partitions: &'key [Partition],
    ) -> Option<&'key str> {
        let is_unclear = |partition: &&Partition| {
            self.record_columns.iter().any(|column| same_name(column, &partition.name))
        };
        let found = partitions.iter().find(is_unclear)?;
        (self.partitions == PartitionColumns::Auto).then_some(&found.name)
    }

    /// Requires that fields that go by position, or the key, fill each column that needs a value.
    fn ensure_filled(
        &self,
        columns: &[ColumnOrVariable],
        partitions: &[String],
    ) -> Result<(), NameProblem> {
        if self.matcher.is_some() || self.is_json || self.partitions != PartitionColumns::Auto {
            return Ok(());
        }
        let is_filled = |name: &&String| {
            columns.iter().any(|item| is_column(item, name))
                || partitions.iter().any(|it| same_name(it, name))
        };
        let Some(name) = self.needed.iter().find(|name| !is_filled(name)) else { return Ok(()) };
        Err(NameProblem {
            why: format!(
                "column {name} must have a value, and neither the fields nor the key of the object \
                 fill it"
            ),
            hint: format!(
                "list it in --columns, or give it a value with --set '{name}=EXPRESSION'"
            ),
        })
    }

    /// Returns the items that fields are read into if no header says otherwise.
    fn listed_columns(&self, partitions: &[String]) -> Vec<ColumnOrVariable> {
        let items = match &self.matcher {
            Some(matcher) => matcher.items(),
            None => &self.columns,
        };
        let is_field = |item: &&ColumnOrVariable| match item {
            ColumnOrVariable::Column(name) => {
                self.has_list || !partitions.iter().any(|it| same_name(it, name))
            }
            ColumnOrVariable::Variable(_) => true,
        };
        items.iter().filter(is_field).cloned().collect()
    }

    fn layout(&self, plan: &Plan, columns: Vec<ColumnOrVariable>, partitions: &[String]) -> Layout {
        let place = |name: &str| {
            let is_it = |item: &ColumnOrVariable| is_column(item, name);
            columns.iter().position(is_it)
        };
        let (mut added, mut repeated) = (Vec::new(), Vec::new());
        for name in partitions {
            match place(name) {
                Some(field) => repeated.push((field, name.clone())),
                None => added.push(AddedField {
                    item: ColumnOrVariable::Column(name.clone()),
                    fact: KeyFact::Partition(name.clone()),
                    rule: self.rules.column(name),
                }),
            }
        }
        added.extend(self.facts.iter().map(|(variable, fact)| AddedField {
            item: ColumnOrVariable::Variable(variable.clone()),
            fact: fact.clone(),
            rule: None,
        }));
        let values = Arc::new(self.rules.rules(&columns, partitions));
        let mut layout = plan.layout(columns, values, added);
        layout.repeated = repeated;
        let items = layout.items();
        layout.verification =
            self.verification.as_ref().map(|all| Arc::new(all.for_items(&items, plan.dialect())));
        layout
    }
}
