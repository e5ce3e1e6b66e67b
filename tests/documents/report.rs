//! The generated part of `docs/report.md`: the fields of the report, read from the sources, as doc
//! comments are gone when a program runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail, ensure};
use syn::{Attribute, Expr, Fields, GenericArgument, Item, Lit, PathArguments, Type};

/// The text above this line is written by hand.
pub(crate) const MARKER: &str = "<!-- generated below: \
    S3_TO_MYSQL_TEST_WRITE_DOCS=1 cargo test --test documents report_page -->\n";

/// The files that define the types.
const FILES: &[&str] = &[
    "src/report/document.rs",
    "src/report/given_setting.rs",
    "src/report/jobs.rs",
    "src/report/part.rs",
    "src/report/pause.rs",
    "src/report/timing.rs",
    "src/source/listing.rs",
    "src/verify/column.rs",
];

/// The types that have a table of their own, in the order of the page, under these headings.
const SECTIONS: &[(&str, &str)] = &[
    ("ObjectLine", "Objects"),
    ("ObjectStatus", "Status"),
    ("PartLine", "Parts"),
    ("PartStatus", "Status of a part"),
    ("LoadedFields", "Loaded objects"),
    ("CheckedFields", "Checked objects"),
    ("SetNullFields", "NULL by --set"),
    ("ErrorFields", "Errors"),
    ("RowFields", "Rows"),
    ("LoadSummary", "Summary of a load"),
    ("JobFields", "Jobs"),
    ("PauseFields", "Pauses"),
    ("JobsSummary", "Summary of a jobs file"),
    ("JobSummary", "Job of a jobs file"),
    ("JobStatus", "Status of a job"),
    ("CheckSummary", "Summary of a check"),
    ("GivenSetting", "Settings"),
    ("SkippedKeys", "Keys passed over"),
    ("Unverified", "Columns not verified"),
];

/// Types whose values are told in the text of their fields.
const WORDS: &[&str] = &["ErrorKind", "Integrity"];

struct Definition {
    doc: String,
    /// The value of the field `type`, which the enum or struct adds by itself.
    tag: Option<String>,
    shape: Shape,
}

enum Shape {
    Fields(Vec<Field>),
    /// Each value and what it means.
    Words(Vec<(String, String)>),
}

struct Field {
    name: String,
    doc: String,
    ty: Type,
    is_flattened: bool,
}

/// Returns all tables, where `read` returns the text of a file.
pub(crate) fn tables(read: &dyn Fn(&str) -> Result<String>) -> Result<String> {
    let mut definitions = BTreeMap::new();
    for file in FILES {
        for item in syn::parse_file(&read(file)?)?.items {
            if let Some((name, definition)) = definition(item)? {
                definitions.insert(name, definition);
            }
        }
    }
    let mut text = String::new();
    for (name, title) in SECTIONS {
        let definition = definitions.get(*name).with_context(|| format!("no type {name}"))?;
        write!(text, "\n## {title}\n\n{}\n\n", wrapped(&definition.doc))?;
        match &definition.shape {
            Shape::Fields(_) => {
                text.push_str("| field | type | meaning |\n|---|---|---|\n");
                if let Some(tag) = &definition.tag {
                    writeln!(text, "| `type` | string | `{tag}` |")?;
                }
                write_fields(&mut text, name, &definitions)?;
            }
            Shape::Words(words) => {
                text.push_str("| value | meaning |\n|---|---|\n");
                for (word, doc) in words {
                    ensure!(!doc.is_empty(), "{name}::{word} has no doc comment");
                    writeln!(text, "| `{word}` | {} |", cell(doc))?;
                }
            }
        }
    }
    Ok(text)
}

fn write_fields(
    text: &mut String,
    name: &str,
    definitions: &BTreeMap<String, Definition>,
) -> Result<()> {
    let Some(Definition { shape: Shape::Fields(fields), .. }) = definitions.get(name) else {
        bail!("no struct {name}");
    };
    for field in fields {
        let (ty, argument) = last_name(&field.ty)?;
        match (field.is_flattened, argument) {
            // Fields that only some objects have are in a table of their own.
            (true, Some(Type::Path(_))) if ty == "Option" => {}
            (true, _) => write_fields(text, &ty, definitions)?,
            (false, _) => {
                ensure!(!field.doc.is_empty(), "{name}.{} has no doc comment", field.name);
                let ty = in_words(&field.ty, definitions)?;
                writeln!(text, "| `{}` | {ty} | {} |", field.name, cell(&field.doc))?;
            }
        }
    }
    Ok(())
}

/// Returns what stands for a value of the type in JSON.
fn in_words(ty: &Type, definitions: &BTreeMap<String, Definition>) -> Result<String> {
    let (name, argument) = last_name(ty)?;
    Ok(match (name.as_str(), argument) {
        ("Option", Some(inner)) => format!("{} or null", in_words(&inner, definitions)?),
        ("Vec", Some(inner)) => format!("list of {}", plural(&in_words(&inner, definitions)?)),
        ("BTreeMap", Some(inner)) => {
            format!("object of {}", plural(&in_words(&inner, definitions)?))
        }
        ("str" | "String", _) => "string".to_owned(),
        ("bool", _) => "boolean".to_owned(),
        ("u8" | "u16" | "u32" | "u64", _) => "integer".to_owned(),
        ("f64", _) => "number".to_owned(),
        (name, _) if WORDS.contains(&name) => "string".to_owned(),
        (name, _) => {
            let title = SECTIONS.iter().find(|(other, _)| *other == name).map(|(_, title)| *title);
            let link = |word: &str, title: &str| {
                format!("[{word}](#{})", title.to_lowercase().replace(' ', "-"))
            };
            match (&definitions.get(name).with_context(|| format!("no type {name}"))?.shape, title)
            {
                (Shape::Words(_), Some(title)) => link("string", title),
                (Shape::Fields(_), Some(title)) => link("object", title),
                (Shape::Words(words), None) => {
                    let words: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
                    words.join(" or ")
                }
                (Shape::Fields(_), None) => bail!("{name} has no table"),
            }
        }
    })
}

/// Returns the plural of a word, which may be a link's text.
fn plural(word: &str) -> String {
    match word.split_once(']') {
        Some((text, target)) => format!("{text}s]{target}"),
        None => format!("{word}s"),
    }
}

/// Returns the name of a type behind references, `Vec` for a slice, and its last type argument.
fn last_name(ty: &Type) -> Result<(String, Option<Type>)> {
    match ty {
        Type::Reference(reference) => last_name(&reference.elem),
        Type::Slice(slice) => Ok(("Vec".to_owned(), Some((*slice.elem).clone()))),
        Type::Path(path) => {
            let segment = path.path.segments.last().context("an empty path")?;
            let argument = match &segment.arguments {
                PathArguments::AngleBracketed(list) => list.args.iter().rev().find_map(|arg| {
                    if let GenericArgument::Type(ty) = arg { Some(ty.clone()) } else { None }
                }),
                _ => None,
            };
            Ok((segment.ident.to_string(), argument))
        }
        _ => bail!("a field has a type that has no words"),
    }
}

/// Returns a type that is serialized, and its name. Enums are written in snake case.
fn definition(item: Item) -> Result<Option<(String, Definition)>> {
    Ok(match item {
        Item::Struct(item) => {
            let Fields::Named(fields) = item.fields else { return Ok(None) };
            let serde = Serde::read(&item.attrs)?;
            let fields = fields.named.into_iter().map(|field| {
                let serde = Serde::read(&field.attrs)?;
                let name = field.ident.context("no name")?.to_string();
                let name = serde.rename.unwrap_or(name);
                let doc = doc(&field.attrs);
                Ok(Field { name, doc, ty: field.ty, is_flattened: serde.is_flattened })
            });
            let shape = Shape::Fields(fields.collect::<Result<_>>()?);
            let tag = if serde.is_tagged { serde.rename } else { None };
            Some((item.ident.to_string(), Definition { doc: doc(&item.attrs), tag, shape }))
        }
        Item::Enum(item) => {
            let words = item
                .variants
                .iter()
                .map(|variant| (snake_case(&variant.ident.to_string()), doc(&variant.attrs)));
            let shape = Shape::Words(words.collect());
            Some((item.ident.to_string(), Definition { doc: doc(&item.attrs), tag: None, shape }))
        }
        _ => None,
    })
}

#[derive(Default)]
struct Serde {
    rename: Option<String>,
    is_tagged: bool,
    is_flattened: bool,
}

impl Serde {
    /// Reads the attributes that this page knows. One that it does not know is an error, as it may
    /// change what is written.
    fn read(attributes: &[Attribute]) -> Result<Self> {
        let mut read = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
            attribute.parse_nested_meta(|meta| {
                let name = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
                match name.as_str() {
                    "rename" => read.rename = Some(meta.value()?.parse::<syn::LitStr>()?.value()),
                    "tag" => {
                        read.is_tagged = meta.value()?.parse::<syn::LitStr>()?.value() == "type";
                    }
                    "flatten" => read.is_flattened = true,
                    // This is for reading alone.
                    "default" => {}
                    "skip_serializing_if" => {
                        meta.value()?.parse::<syn::LitStr>()?;
                    }
                    _ => return Err(meta.error("an attribute that this page does not know")),
                }
                Ok(())
            })?;
        }
        Ok(read)
    }
}

fn doc(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter(|attribute| attribute.path().is_ident("doc"));
    let lines =
        lines.filter_map(|attribute| match &attribute.meta.require_name_value().ok()?.value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => Some(text.value().trim().to_owned()),
                _ => None,
            },
            _ => None,
        });
    lines.collect::<Vec<_>>().join(" ").trim().to_owned()
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(c.to_lowercase());
    }
    snake
}

fn cell(doc: &str) -> String {
    doc.replace('|', "\\|")
}

fn wrapped(paragraph: &str) -> String {
    let mut text = String::new();
    let mut width = 0;
    for word in paragraph.split_whitespace() {
        let length = word.chars().count();
        if width > 0 && width + 1 + length > 100 {
            text.push('\n');
            width = 0;
        } else if width > 0 {
            text.push(' ');
            width += 1;
        }
        text.push_str(word);
        width += length;
    }
    text
}

#[test]
fn a_field_is_described_as_it_is_written() -> Result<()> {
    let document = "
        /// A line.
        #[serde(tag = \"type\", rename = \"object\")]
        struct ObjectLine<'a> {
            /// One | two,
            /// and three.
            #[serde(rename = \"b\")]
            a: Option<&'a [RowFields<'a>]>,
            #[serde(flatten)]
            sums: &'a Sums,
        }
        struct Sums {
            /// The sum.
            sum: u64,
        }
        struct RowFields<'a> {}";
    let mut definitions = BTreeMap::new();
    for item in syn::parse_file(document)?.items {
        definitions.extend(definition(item)?);
    }
    let mut text = String::new();
    write_fields(&mut text, "ObjectLine", &definitions)?;
    ensure!(
        text == "| `b` | list of [objects](#rows) or null | One \\| two, and three. |\n\
                 | `sum` | integer | The sum. |\n",
        "{text}"
    );
    ensure!(definitions["ObjectLine"].tag.as_deref() == Some("object"));
    Ok(())
}
