//! Runs the command `s3-to-mysql report`.

use std::fs::File;
use std::io::{BufReader, Write as _, stdin, stdout};
use std::path::{Path, PathBuf};

use super::outcome::RunResult;
use crate::error::{Error, ErrorKind, Result};
use crate::report::Picture;
use crate::small_file;

/// Draws reports as one page. `-` is standard input or output.
#[must_use]
pub fn report(files: &[PathBuf], output: &Path) -> RunResult {
    match draw(files, output) {
        Ok(()) => RunResult::default(),
        Err(error) => RunResult::before_it_began(vec![error]),
    }
}

fn draw(files: &[PathBuf], output: &Path) -> Result<()> {
    let mut picture = Picture::default();
    for path in files {
        let name = path.display().to_string();
        if is_dash(path) {
            picture.read("standard input", stdin().lock())?;
            continue;
        }
        let file = File::open(path).map_err(|error| {
            Error::new(ErrorKind::Usage, format!("{name} cannot be read"))
                .caused_by(error)
                .with_hint("name files that --report has written")
        })?;
        picture.read(&name, BufReader::new(file))?;
    }
    let page = picture.page();
    let written = if is_dash(output) {
        stdout().lock().write_all(page.as_bytes())
    } else {
        small_file::replace_private(output, &page)
    };
    written.map_err(|error| {
        let message = format!("{} cannot be written", output.display());
        Error::new(ErrorKind::Usage, message).caused_by(error)
    })
}

fn is_dash(path: &Path) -> bool {
    path.as_os_str() == "-"
}
