//! Tests that files do not import each other in a circle, and that a folder imports only lower
//! layers.
//!
//! `cargo test --test layers -- --nocapture` prints every circle of the sources with the names that
//! tie it.

mod graph;
mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use graph::{Imports, circles};
use sources::Sources;

/// The folders, and the files at the top, each with the layers that it may import. Lower layers
/// come first.
const LAYERS: &[(&str, &str)] = &[
    ("lib", ""),
    ("limits", ""),
    ("nearest", ""),
    ("printable", ""),
    ("small_file", ""),
    ("units", ""),
    ("error", "limits printable"),
    ("exit_code", "error"),
    ("memory", ""),
    ("blocking", "error"),
    ("object", "error printable"),
    ("policy", ""),
    ("choices", ""),
    ("terminal", "choices printable"),
    ("file_slice", ""),
    ("retry", "error terminal"),
    ("shutdown", "exit_code"),
    ("s3_uri", "printable"),
    ("sql_text", ""),
    ("unpack", ""),
    ("dialect", ""),
    ("settings", "choices dialect policy printable units"),
    ("split", "dialect"),
    ("values", "choices dialect nearest printable split sql_text"),
    ("mysql", "choices error nearest policy small_file sql_text"),
    ("columnar", "error file_slice values"),
    ("verify", "choices dialect mysql split sql_text"),
    ("columns", "dialect mysql nearest object sql_text"),
    ("source", "error object printable retry s3_uri small_file units"),
    ("create_table", "columns dialect error object printable split sql_text values"),
    ("staging", "blocking dialect error file_slice object retry split units unpack"),
    ("rejects", "error printable retry s3_uri source"),
    ("throttle", "error mysql shutdown units"),
    ("ledger", "dialect error mysql object policy retry s3_uri source split sql_text verify"),
    (
        "load_data",
        "blocking choices columns dialect error file_slice ledger mysql object policy rejects \
         split sql_text values verify",
    ),
    (
        "isolate",
        "blocking dialect error file_slice load_data mysql policy rejects split sql_text values \
         verify",
    ),
    ("load", "error isolate ledger load_data mysql policy rejects verify"),
    ("check", "dialect error isolate load load_data mysql policy sql_text values"),
    (
        "preflight",
        "columns dialect error isolate ledger load_data mysql nearest policy retry sql_text verify",
    ),
    (
        "report",
        "check choices dialect error exit_code ledger load_data object policy printable s3_uri \
         source staging terminal throttle unpack verify",
    ),
    ("metrics", "error printable"),
    ("progress", "choices report terminal"),
    (
        "pipeline",
        "blocking check columnar columns dialect error file_slice ledger load load_data mysql \
         object policy preflight printable progress rejects report retry s3_uri shutdown source \
         split sql_text staging throttle units unpack values verify",
    ),
    (
        "config",
        "choices columns create_table dialect ledger load_data metrics mysql nearest pipeline \
         policy preflight rejects report retry s3_uri settings source sql_text staging throttle \
         units values",
    ),
    (
        "commands",
        "check choices config create_table dialect error exit_code ledger limits metrics mysql \
         object pipeline policy preflight printable progress rejects report retry s3_uri shutdown \
         small_file source sql_text staging terminal throttle units unpack values verify",
    ),
    ("cli", "commands config exit_code printable s3_uri settings small_file units"),
];

/// Returns the folder of a file, or the name of a file at the top: `load` of `load/batch.rs`.
fn folder(file: &str) -> &str {
    file.split_once(['/', '.']).map_or(file, |(folder, _)| folder)
}

/// Returns the violations of the table: a line for each circle with its ties under it, and a line
/// for each import that no layer allows.
fn findings(imports: &Imports, layers: &[(&str, &str)]) -> Vec<String> {
    let mut findings = Vec::new();
    for circle in circles(imports.keys().map(|(from, to)| (from.as_str(), to.as_str()))) {
        let mut finding =
            format!("{} files import each other in a circle: {}", circle.len(), circle.join(", "));
        for ((from, to), names) in imports {
            if circle.contains(&from.as_str()) && circle.contains(&to.as_str()) {
                let _ = write!(finding, "\n    {}", tie(from, to, names));
            }
        }
        findings.push(finding);
    }
    for ((from, to), names) in imports {
        let (layer, below) = (folder(from), folder(to));
        let is_allowed = layer == below
            || layers.iter().any(|(name, lower)| *name == layer && is_among(below, lower));
        if !is_allowed {
            findings.push(format!("{layer} may not import {below}: {}", tie(from, to, names)));
        }
    }
    findings
}

fn tie(from: &str, to: &str, names: &BTreeSet<String>) -> String {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    format!("{from} -> {to}: {}", names.join(", "))
}

fn is_among(name: &str, names: &str) -> bool {
    names.split_whitespace().any(|other| other == name)
}

#[test]
fn the_sources_keep_to_their_layers() -> Result<()> {
    // Cargo runs tests in the package's folder.
    let sources = Sources::read(Path::new("src"))?;
    let imports = sources.imports()?;
    let mut findings = findings(&imports, LAYERS);
    for folder in sources.files().into_iter().map(folder).collect::<BTreeSet<_>>() {
        if !LAYERS.iter().any(|(name, _)| *name == folder) {
            findings.push(format!("{folder} is missing from the table of layers"));
        }
    }
    for finding in &findings {
        println!("{finding}");
    }
    ensure!(findings.is_empty(), "{} findings, printed above", findings.len());
    Ok(())
}

/// The connection of `mysql` bounds every wait and checks every answer. The driver's does neither.
#[test]
fn only_the_layer_mysql_uses_the_drivers_connection() -> Result<()> {
    let mut findings = Vec::new();
    for file in Sources::read(Path::new("src"))?.files() {
        let text = std::fs::read_to_string(Path::new("src").join(file))?;
        let uses = text.split("mysql_async::").skip(1).any(|rest| {
            let imported = rest.split(';').next().unwrap_or_default();
            imported.contains("Queryable")
                || imported.starts_with("Conn")
                || imported.starts_with('{') && is_among("Conn", &imported.replace([',', '{'], " "))
        });
        if uses && !file.starts_with("mysql/") {
            findings.push(file.to_owned());
        }
    }
    ensure!(findings.is_empty(), "these use the driver's connection: {findings:?}");
    Ok(())
}

/// Everything else speaks of objects, bodies and errors of this program.
#[test]
fn only_the_folder_source_s3_imports_the_aws_sdk() -> Result<()> {
    let mut users = BTreeSet::new();
    for file in Sources::read(Path::new("src"))?.files() {
        // The cryptography of TLS has a similar name.
        let text = std::fs::read_to_string(Path::new("src").join(file))?.replace("aws_lc_rs", "");
        if text.contains("aws_") {
            users.insert(file.to_owned());
        }
    }
    let is_inside = |file: &String| file == "source/s3.rs" || file.starts_with("source/s3/");
    ensure!(users.len() > 1, "the search for the SDK finds too little: {users:?}");
    ensure!(users.iter().all(is_inside), "these import the SDK: {users:?}");
    Ok(())
}

/// Returns the position of each layer in the list of `lib.rs`, from the top. Layers of one item
/// share a position.
fn positions_in_lib_rs() -> Result<BTreeMap<String, usize>> {
    let text = std::fs::read_to_string("src/lib.rs")?;
    let lines = text.lines().skip_while(|line| *line != "//! # Layers").skip(1);
    let section: String = lines
        .take_while(|line| !line.starts_with("//! # "))
        .map(|line| line.trim_start_matches("//!").to_owned() + "\n")
        .collect();
    let mut positions = BTreeMap::new();
    for (position, item) in section.split("\n - ").skip(1).enumerate() {
        let (names, _) = item.split_once(':').context("an item without a colon")?;
        for name in names.split("[`").skip(1).filter_map(|rest| rest.split('`').next()) {
            positions.insert(name.to_owned(), position);
        }
    }
    Ok(positions)
}

#[test]
fn the_list_in_lib_rs_has_every_layer_above_those_that_it_imports() -> Result<()> {
    let positions = positions_in_lib_rs()?;
    let layers: Vec<&str> =
        LAYERS.iter().map(|(layer, _)| *layer).filter(|layer| *layer != "lib").collect();
    let mut wrong = Vec::new();
    for layer in positions.keys().filter(|name| !layers.contains(&name.as_str())) {
        wrong.push(format!("{layer} is no layer"));
    }
    for (layer, lower) in LAYERS.iter().filter(|(layer, _)| *layer != "lib") {
        let Some(position) = positions.get(*layer) else {
            wrong.push(format!("{layer} is missing"));
            continue;
        };
        for lower in lower.split_whitespace() {
            if positions.get(lower).is_none_or(|other| other < position) {
                wrong.push(format!("{layer} imports {lower}, which stands above it"));
            }
        }
    }
    ensure!(wrong.is_empty(), "the list in src/lib.rs:\n{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn the_table_has_no_circle() {
    let arrows = LAYERS
        .iter()
        .flat_map(|(layer, lower)| lower.split_whitespace().map(move |lower| (*layer, lower)));
    assert_eq!(circles(arrows), Vec::<Vec<&str>>::new());
}

/// Returns the imports of a crate of these files.
fn imports(files: &[(&str, &str)]) -> Result<Imports> {
    let text = |file: &str| {
        Ok(files.iter().find(|(name, _)| *name == file).map(|(_, text)| (*text).to_owned()))
    };
    Sources::load(&text)?.imports()
}

/// Returns an arrow of [`Imports`].
fn arrow(from: &str, to: &str, names: &[&str]) -> ((String, String), BTreeSet<String>) {
    ((from.to_owned(), to.to_owned()), names.iter().map(|name| (*name).to_owned()).collect())
}

#[test]
fn a_circle_is_found_with_the_names_that_tie_it() -> Result<()> {
    let imports = imports(&[
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use crate::b::B; pub struct A;"),
        ("b.rs", "pub struct B; fn new(_: super::c::C) {}"),
        ("c.rs", "pub struct C; impl From<crate::a::A> for C {}"),
    ])?;
    let layers = [("a", "b"), ("b", "c"), ("c", "a")];
    let circle = "3 files import each other in a circle: a.rs, b.rs, c.rs\n    \
                  a.rs -> b.rs: B\n    b.rs -> c.rs: C\n    c.rs -> a.rs: A";
    assert_eq!(findings(&imports, &layers), [circle]);
    Ok(())
}

#[test]
fn an_import_that_no_layer_allows_is_found() -> Result<()> {
    let imports = imports(&[
        ("lib.rs", "mod load; mod source;"),
        ("load.rs", "mod plan;"),
        ("load/plan.rs", "use crate::source::Key; pub fn plan(_: Key) {}"),
        ("source.rs", "pub struct Key;"),
    ])?;
    assert_eq!(
        findings(&imports, &[("load", ""), ("source", "load")]),
        ["load may not import source: load/plan.rs -> source.rs: Key"]
    );
    assert!(findings(&imports, &[("load", "source"), ("source", "")]).is_empty());
    Ok(())
}

#[test]
fn a_re_export_leads_to_the_file_that_defines_the_item() -> Result<()> {
    let imports = imports(&[
        ("lib.rs", "mod load; mod run;"),
        ("load.rs", "mod part; mod plan; pub use part::*; pub use plan::{plan, Plan as Steps};"),
        ("load/part.rs", "pub struct Part;"),
        ("load/plan.rs", "use super::Part; pub struct Plan; pub fn plan(_: Part) {}"),
        ("run.rs", "use crate::load::{self, Steps}; fn run(_: load::Part) { load::plan() }"),
    ])?;
    let expected = [
        arrow("load/plan.rs", "load/part.rs", &["Part"]),
        arrow("run.rs", "load/part.rs", &["Part"]),
        arrow("run.rs", "load/plan.rs", &["Plan", "plan"]),
    ];
    assert_eq!(imports, Imports::from(expected));
    Ok(())
}

#[test]
fn a_name_counts_wherever_it_is_used() -> Result<()> {
    let lib = "mod a;
        fn inside() { use crate::a::Inside as Other; }
        fn called() { self::a::called(println!(\"{}\", crate::a::MACRO[a::GIVEN])) }
        mod inline { fn deep(_: super::a::Deep) {} }
        fn glob() -> u8 { use a::Kind::*; One }";
    let a = "pub struct Inside; pub fn called() {} pub const MACRO: [u8; 1] = [0];
        pub const GIVEN: usize = 0; pub struct Deep; pub enum Kind { One }";
    let imports = imports(&[("lib.rs", lib), ("a.rs", a)])?;
    let names = ["Deep", "GIVEN", "Inside", "Kind", "MACRO", "called"];
    assert_eq!(imports, Imports::from([arrow("lib.rs", "a.rs", &names)]));
    Ok(())
}

#[test]
fn an_item_that_a_macro_defines_is_in_the_file_of_its_call() -> Result<()> {
    let imports = imports(&[
        ("lib.rs", "mod names; mod user;"),
        (
            "names.rs",
            "macro_rules! names { ($name:ident) => { pub const $name: u8 = 0; } } names!(A);",
        ),
        ("user.rs", "fn a() -> u8 { super::names::A }"),
    ])?;
    assert_eq!(imports, Imports::from([arrow("user.rs", "names.rs", &["A"])]));
    Ok(())
}

#[test]
fn a_path_that_leads_nowhere_is_an_error() {
    let files = [("lib.rs", "mod a;"), ("a.rs", "fn a() { crate::a::missing() }")];
    let error = imports(&files).expect_err("the path leads nowhere");
    assert_eq!(error.to_string(), "crate::a::missing leads nowhere from a.rs");
}

#[test]
fn what_only_tests_use_is_no_import() -> Result<()> {
    let imports = imports(&[
        ("lib.rs", "mod a; mod b;"),
        (
            "a.rs",
            "#[cfg(test)] use crate::b::B; #[cfg(test)] mod tests; pub struct A;
             impl A { #[cfg(test)] fn new(_: crate::b::B) {} #[cfg(test)] const B: crate::b::B; }
             #[cfg(test)] mod more { use crate::b::B; }",
        ),
        ("b.rs", "pub struct B;"),
    ])?;
    assert_eq!(imports, Imports::new());
    Ok(())
}
