//! The documents are current, their links lead somewhere, and README.md stays short.
//!
//! No test here needs a server. `tests/it/readme.rs` runs the shell blocks.

mod links;
mod report;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

const README_LIMIT: usize = 8192;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> Result<String> {
    std::fs::read_to_string(root().join(name)).with_context(|| name.to_owned())
}

/// Returns the documents whose links are checked, by their paths from the root.
fn documents() -> Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> =
        ["README.md", "deploy/README.md", "tests/README.md", "benches/README.md"]
            .map(PathBuf::from)
            .into();
    let mut folders = vec![PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root().join(&folder))? {
            let path = folder.join(entry?.file_name());
            if root().join(&path).is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[test]
fn the_report_page_lists_every_field_as_the_types_have_it() -> Result<()> {
    let page = read("docs/report.md")?;
    let (head, _) = page.split_once(report::MARKER).context("docs/report.md has no marker")?;
    let current = format!("{head}{}{}", report::MARKER, report::tables(&read)?);
    if std::env::var_os("S3_TO_MYSQL_TEST_WRITE_DOCS").is_some() {
        std::fs::write(root().join("docs/report.md"), current)?;
    } else {
        ensure!(page == current, "docs/report.md is stale; its marker line says how to write it");
    }
    Ok(())
}

#[test]
fn no_link_is_dead() -> Result<()> {
    let dead = links::dead_links(root(), &documents()?)?;
    ensure!(dead.is_empty(), "dead links:\n{}", dead.join("\n"));
    Ok(())
}

#[test]
fn the_readme_is_short() -> Result<()> {
    let bytes = read("README.md")?.len();
    ensure!(bytes <= README_LIMIT, "README.md has {bytes} bytes, more than {README_LIMIT}");
    Ok(())
}
