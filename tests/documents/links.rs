//! Relative links and anchors, as GitHub resolves them.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use regex::Regex;

/// Returns a line for each link whose file or heading does not exist.
pub(crate) fn dead_links(root: &Path, documents: &[PathBuf]) -> Result<Vec<String>> {
    let mut dead = Vec::new();
    for document in documents {
        let text = std::fs::read_to_string(root.join(document))
            .with_context(|| document.display().to_string())?;
        for target in targets(&text)? {
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let folder = document.parent().unwrap_or(Path::new(""));
            let linked = if path.is_empty() { document.clone() } else { folder.join(path) };
            let exists = stays_inside(&linked) && root.join(&linked).exists();
            if !exists || !(anchor.is_empty() || has_anchor(&root.join(&linked), anchor)?) {
                dead.push(format!("{}: {target}", document.display()));
            }
        }
    }
    Ok(dead)
}

/// A file beside the repository exists on one machine only.
fn stays_inside(path: &Path) -> bool {
    let mut depth = 0;
    path.components().all(|component| {
        depth += if component == Component::ParentDir { -1 } else { 1 };
        depth >= 0 && component != Component::RootDir
    })
}

fn has_anchor(path: &Path, anchor: &str) -> Result<bool> {
    Ok(path.is_file() && anchors(&std::fs::read_to_string(path)?)?.contains(anchor))
}

/// Returns the lines outside of code blocks.
fn prose_lines(markdown: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    markdown.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// Returns the targets of the links that lead to no other site.
fn targets(markdown: &str) -> Result<Vec<String>> {
    // Code may look like a link. A span may also begin on one line and end on the next.
    let prose = prose_lines(markdown).collect::<Vec<_>>().join("\n");
    let prose = Regex::new("`[^`]*`")?.replace_all(&prose, "");
    let links = Regex::new(r"(?m)\]\(\s*([^)\s]+)|^\[[^\]]+\]:\s*(\S+)")?;
    let targets = links.captures_iter(&prose).filter_map(|found| found.get(1).or(found.get(2)));
    let is_elsewhere = Regex::new("^[a-z]+:")?;
    Ok(targets
        .map(|target| target.as_str().to_owned())
        .filter(|target| !is_elsewhere.is_match(target))
        .collect())
}

/// Returns the anchors of the headings: a repeated one gets a number.
fn anchors(markdown: &str) -> Result<BTreeSet<String>> {
    let heading = Regex::new("^#{1,6} +(.*?)[ #]*$")?;
    let link = Regex::new(r"\[([^\]]*)\]\([^)]*\)")?;
    let mut anchors = BTreeSet::new();
    for line in prose_lines(markdown) {
        let Some(found) = heading.captures(line) else { continue };
        let text = link.replace_all(&found[1], "$1").to_lowercase().replace(' ', "-");
        let anchor: String =
            text.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect();
        let mut numbered = anchor.clone();
        let mut number = 0;
        while !anchors.insert(numbered) {
            number += 1;
            numbered = format!("{anchor}-{number}");
        }
    }
    Ok(anchors)
}

#[test]
fn a_dead_link_is_found() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::create_dir(folder.path().join("docs"))?;
    std::fs::write(
        folder.path().join("README.md"),
        "# The `one` heading\n## Again\n## Again\n```sh\n# not a heading\n[x](not/a/link.md)\n```\n\
         [ok](docs/a.md#b) [ok](#the-one-heading) [ok](#again-1) `[x](code.md)` [ok](https://a/b)\n\
         [dead](docs/b.md) [dead](docs/a.md#c) [dead](#again-2) [two\nlines](d.md) \
         [dead](#not-a-heading) [dead](../a.md)\n[dead]: e.md\n",
    )?;
    std::fs::write(folder.path().join("docs/a.md"), "# B\n[ok](../README.md)\n")?;
    let dead = dead_links(folder.path(), &["README.md".into(), "docs/a.md".into()])?;
    let expected =
        ["docs/b.md", "docs/a.md#c", "#again-2", "d.md", "#not-a-heading", "../a.md", "e.md"]
            .map(|target| format!("README.md: {target}"));
    ensure!(dead == expected, "{dead:?}");
    Ok(())
}
