//! Looks at the tables of all jobs before the first object of any of them is read: a table that
//! cannot be loaded prevents the run, and foreign keys give the order.

use futures_util::{StreamExt as _, stream};

use super::order::JobOrder;
use crate::commands::startup::Clients;
use crate::config::JobConfig;
use crate::error::Error;
use crate::preflight;

/// The number of tables that are looked at at once.
const AT_ONCE: usize = 8;

/// A table as the server shows it, with the tables that its foreign keys refer to.
struct TableFacts {
    name: (String, String),
    parents: Vec<(String, String)>,
}

/// Returns the order of the jobs.
///
/// # Errors
/// All problems with any of the tables, each with the name of its job.
pub(super) async fn survey(jobs: &[JobConfig], clients: &Clients) -> Result<JobOrder, Vec<Error>> {
    let facts: Vec<_> = stream::iter(jobs)
        .map(|job| Box::pin(table_facts(job, clients)))
        .buffered(AT_ONCE)
        .collect()
        .await;
    let (mut tables, mut problems) = (Vec::new(), Vec::new());
    for (job, facts) in jobs.iter().zip(facts) {
        match facts {
            Ok(facts) => tables.push(facts),
            Err(errors) => problems.extend(errors.into_iter().map(|it| it.named(&job.name))),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let parents = |table: &Option<TableFacts>| {
        let wanted = table.as_ref().map_or(&[][..], |table| &table.parents);
        let is_parent = |other: &Option<TableFacts>| {
            other.as_ref().is_some_and(|other| wanted.contains(&other.name))
        };
        let all = tables.iter().enumerate();
        all.filter(|(_, other)| is_parent(other)).map(|(index, _)| index).collect()
    };
    Ok(JobOrder::new(tables.iter().map(parents).collect()))
}

/// Returns `None` for a table that the job may have to create.
async fn table_facts(job: &JobConfig, clients: &Clients) -> Result<Option<TableFacts>, Vec<Error>> {
    if job.config.create_table.is_some() {
        return Ok(None);
    }
    let mut connector = clients.connector.clone();
    let options = job.config.preflight();
    let (checked, session) = Box::pin(preflight::preflight(&mut connector, &options)).await?;
    session.close().await;
    let schema = &checked.schema;
    Ok(Some(TableFacts {
        name: (schema.database.clone(), schema.table.clone()),
        parents: schema.parents.clone(),
    }))
}
