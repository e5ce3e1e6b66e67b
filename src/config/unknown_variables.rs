//! Finds variables in `--set` that nothing fills. The server would read them as NULL, in every row.

use crate::columns::KeyFact;
use crate::dialect::{ColumnOrVariable, FormatConfig, set_variables, variables_in};
use crate::nearest::nearest;
use crate::settings::{Origin, Problem, Resolver, Value, table as s};
use crate::sql_text::same_name;

/// Reports each variable that an expression reads, and that no field, no fact about the object and
/// no statement of `--init-sql` fills. If fields go by name, the header of each object decides.
pub(super) fn check(resolver: &mut Resolver, format: &FormatConfig) {
    let is_list_bad = resolver.find_set(&s::COLUMNS).is_some() && format.columns.is_none();
    if format.names.by_name() || is_list_bad {
        return;
    }
    let fields = format.json.iter().flat_map(|json| json.fields.iter().map(|(item, _)| item));
    let variable = |item: &ColumnOrVariable| match item {
        ColumnOrVariable::Variable(name) => Some(name.clone()),
        ColumnOrVariable::Column(_) => None,
    };
    let mut known: Vec<String> =
        format.columns.iter().flatten().chain(fields).filter_map(variable).collect();
    if let Some((_, given)) = resolver.find(&s::INIT_SQL) {
        let statements = match given.value {
            Value::List(statements) => statements,
            Value::Text(statement) => vec![statement],
        };
        known.extend(statements.iter().flat_map(|sql| variables_in(sql)).map(|(name, _)| name));
    }
    let is_unknown = |name: &String| {
        !known.iter().any(|known| same_name(known, name)) && KeyFact::of(name).is_none()
    };
    let unknown: Vec<String> = set_variables(&format.set).into_iter().filter(is_unknown).collect();
    let origin = resolver.find(&s::SET).map_or(Origin::Default, |(_, given)| given.origin);
    let lists = if format.json.is_some() { "--columns or --field" } else { "--columns" };
    for name in unknown {
        let names = known.iter().map(String::as_str).chain(KeyFact::NAMES);
        let remedy = match nearest(&name, names) {
            Some(near) => format!("did you mean @{near}?"),
            None => "read a field into it there, or set it in --init-sql; otherwise it is NULL in \
                 every row"
                .to_owned(),
        };
        let what = format!("set reads @{name}, which is not among {lists}");
        resolver.problems.push(Problem::new(what, &origin, remedy));
    }
}
