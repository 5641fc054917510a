//! The reference page of diagnostics is made from the list in the code; this test compares it with the file in `docs/`.
//! `PORTWAY_BLESS=1 cargo test -p portway-model --test reference` writes the file anew.

#![cfg(test)]

use std::fmt::Write;

use portway_model::diagnostic::{Code, MAX_DIAGNOSTICS};

fn check(file: &str, text: &str) {
    let path = format!("{}/../../docs/{file}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("PORTWAY_BLESS").is_some() {
        std::fs::write(&path, text).expect("the page is written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == text,
        "docs/{file} is not what the code says: PORTWAY_BLESS=1 cargo test -p portway-model --test reference writes it anew"
    );
}

/// The families of codes by their first digits, with their headings.
const FAMILIES: [(&str, &str); 5] = [
    ("P00", "Texts and files"),
    ("P01", "Keys and values"),
    ("P02", "Objects and how they fit together"),
    ("P03", "Certificates and TLS"),
    ("P09", "Running it"),
];

#[test]
fn docs_diagnostics_md() {
    let mut page = format!(
        "# Diagnostics\n\n\
         Everything that Portway finds in a configuration carries one of these codes. A code keeps its meaning; the text of\n\
         a message may change. At most {MAX_DIAGNOSTICS} findings are shown at a time. This page is made from the list in the code\n\
         (`PORTWAY_BLESS=1 cargo test -p portway-model --test reference` writes it anew).\n\n\
         A diagnostic says what is wrong, shows every place that has to do with it, and where it can, what to write instead:\n\n\
         ```text\n\
         error[P0101]: unknown key `foward`\n \
         --> web.toml:3:1\n  \
           |\n\
         3 | foward = \"app\"\n  \
           | ^^^^^^\n  \
           |\n  \
           = help: did you mean `forward`?\n\
         ```\n\n\
         An `error` keeps the configuration from running. A `warning` runs, but probably not as meant. A `note` is worth\n\
         knowing. The other forms, a line each and JSON, are in [the command line](cli.md#check).\n"
    );
    let mut shown = 0;
    for (prefix, heading) in FAMILIES {
        write!(
            page,
            "\n## {heading}\n\n| code | name | meaning |\n|---|---|---|\n"
        )
        .expect("a String");
        for code in Code::ALL
            .iter()
            .filter(|code| code.as_str().starts_with(prefix))
        {
            let meaning: Vec<&str> = code.explanation().split_whitespace().collect();
            writeln!(page, "| `{code}` | {code:?} | {} |", meaning.join(" ")).expect("a String");
            shown += 1;
        }
    }
    assert_eq!(
        shown,
        Code::ALL.len(),
        "a code is of none of the families in this test"
    );
    check("diagnostics.md", &page);
}
