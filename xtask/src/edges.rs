//! Which crate may depend on which: the table of the design, held against the manifests and the compiled graph.
//!
//! Arrows only point downward. A new crate or edge is added here in the change that needs it, so that it is seen.

use std::collections::BTreeSet;

use crate::process;
use crate::workspace::{Kind, Package, Workspace};

/// Crate, and which of our crates it may use in what it ships.
const EDGES: &[(&str, &[&str])] = &[
    (
        "portway",
        &[
            "portway-admin",
            "portway-control",
            "portway-dialects",
            "portway-dataplane",
            "portway-telemetry",
            "portway-core",
            "portway-model",
        ],
    ),
    (
        "portway-admin",
        &[
            "portway-control",
            "portway-telemetry",
            "portway-core",
            "portway-model",
        ],
    ),
    (
        "portway-control",
        &[
            "portway-dialects",
            "portway-dataplane",
            "portway-telemetry",
            "portway-core",
            "portway-model",
        ],
    ),
    (
        "portway-dataplane",
        &["portway-core", "portway-telemetry", "portway-model"],
    ),
    ("portway-dialects", &["portway-model"]),
    ("portway-core", &["portway-model"]),
    ("portway-telemetry", &["portway-model"]),
    ("portway-testkit", &["portway-model"]),
    ("portway-model", &[]),
    ("xtask", &[]),
];

/// Crate and one of our crates that only its tests use, beyond its own row of [`EDGES`] and the test kit.
const TEST_EDGES: &[(&str, &str, &str)] = &[(
    "portway-dataplane",
    "portway-dialects",
    "tests write their configuration in the native dialect",
)];

/// Open to the tests of every crate, and to nothing that ships.
const TEST_KIT: &str = "portway-testkit";

/// Crate, and the libraries that must not be compiled into it, however far below.
const FOREIGN: &[(&str, &[&str], &str)] = &[
    (
        "portway-model",
        &[
            "serde",
            "serde_core",
            "serde_json",
            "tokio",
            "toml",
            "toml_edit",
            "toml_parser",
        ],
        "the model does no I/O, does not serialise and knows no dialect",
    ),
    ("portway-core", &["tokio"], "core is never async"),
    (
        "portway-dialects",
        &["tokio"],
        "a dialect is a pure function",
    ),
];

/// Libraries that are not compiled for anything, tests included.
const BANNED: &[(&str, &str)] = &[(
    "ring",
    "aws-lc-rs is the one crypto library: choose the feature of the crate that brings ring in",
)];

/// Holds every manifest of the workspace against the tables.
pub(crate) fn check_manifests(workspace: &Workspace) -> Result<(), String> {
    report(manifest_findings(&workspace.packages))
}

/// Holds what cargo would compile, for this target and the active features, against the tables.
pub(crate) fn check_graph(workspace: &Workspace) -> Result<(), String> {
    let mut findings = Vec::new();
    for (package, foreign, reason) in FOREIGN {
        let tree = tree(
            workspace,
            &["--package", package, "--edges", "normal,build"],
        )?;
        let compiled = names(&tree);
        for name in foreign.iter().filter(|name| compiled.contains(**name)) {
            findings.push(format!("{package} compiles {name}: {reason}"));
        }
    }
    let whole = tree(workspace, &["--workspace", "--edges", "normal,build,dev"])?;
    let compiled = names(&whole);
    for (name, reason) in BANNED.iter().filter(|(name, _)| compiled.contains(*name)) {
        let path = tree(
            workspace,
            &[
                "--workspace",
                "--edges",
                "normal,build,dev",
                "--invert",
                name,
            ],
        )?;
        findings.push(format!("{name} is compiled: {reason}\n{path}"));
    }
    report(findings)
}

fn tree(workspace: &Workspace, arguments: &[&str]) -> Result<String, String> {
    let mut command = process::cargo(&workspace.root);
    process::quiet(
        command
            .args(["tree", "--locked", "--prefix", "none", "--format", "{p}"])
            .args(arguments),
    )
}

/// First words of the lines of `cargo tree`.
fn names(tree: &str) -> BTreeSet<&str> {
    tree.lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect()
}

fn report(findings: Vec<String>) -> Result<(), String> {
    if findings.is_empty() {
        Ok(())
    } else {
        Err(findings.join("\n"))
    }
}

fn manifest_findings(packages: &[Package]) -> Vec<String> {
    let mut findings = Vec::new();
    for package in packages {
        let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == package.name) else {
            findings.push(format!(
                "{} has no row in the table of xtask/src/edges.rs",
                package.name
            ));
            continue;
        };
        for dependency in &package.dependencies {
            let ours = EDGES.iter().any(|(name, _)| *name == dependency.name);
            let name = dependency.name.as_str();
            if ours
                && !allowed.contains(&name)
                && !(dependency.kind == Kind::Dev && is_test_edge(package, name))
            {
                findings.push(format!(
                    "{} must not depend on {name}{}",
                    package.name,
                    hint(dependency.kind, name)
                ));
            }
        }
    }
    findings
}

fn is_test_edge(package: &Package, name: &str) -> bool {
    let listed = TEST_EDGES
        .iter()
        .any(|(from, to, _)| *from == package.name && *to == name);
    name == TEST_KIT || listed
}

fn hint(kind: Kind, name: &str) -> &'static str {
    match kind {
        Kind::Normal | Kind::Build if name == TEST_KIT => " but as a dev-dependency",
        Kind::Normal | Kind::Build => "",
        Kind::Dev => ", not even in tests (see TEST_EDGES in xtask/src/edges.rs)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    fn check(from: &str, kind: Kind, to: &str, expected: &[&str]) {
        let dependencies = vec![Dependency {
            name: to.to_owned(),
            kind,
        }];
        let package = Package {
            name: from.to_owned(),
            dependencies,
            binaries: Vec::new(),
        };
        assert_eq!(manifest_findings(&[package]), expected, "{from} -> {to}");
    }

    #[test]
    fn edges_of_manifests() {
        use Kind::{Build, Dev, Normal};
        check("portway", Normal, "portway-admin", &[]);
        check("portway-admin", Normal, "portway-control", &[]);
        check("portway-core", Normal, "portway-model", &[]);
        check("portway-core", Normal, "memchr", &[]);
        check("portway-core", Dev, "portway-testkit", &[]);
        check("portway-core", Dev, "portway-model", &[]);
        check("portway-dataplane", Dev, "portway-dialects", &[]);
        check(
            "portway-core",
            Normal,
            "portway-testkit",
            &["portway-core must not depend on portway-testkit but as a dev-dependency"],
        );
        check(
            "portway-model",
            Build,
            "portway-core",
            &["portway-model must not depend on portway-core"],
        );
        check(
            "portway-dataplane",
            Normal,
            "portway-dialects",
            &["portway-dataplane must not depend on portway-dialects"],
        );
        check(
            "portway-model",
            Dev,
            "portway-dialects",
            &[
                "portway-model must not depend on portway-dialects, not even in tests (see TEST_EDGES in xtask/src/edges.rs)",
            ],
        );
        check(
            "portway-new",
            Normal,
            "serde",
            &["portway-new has no row in the table of xtask/src/edges.rs"],
        );
    }

    #[test]
    fn tables_point_downward() {
        let place = |crate_name: &str| {
            EDGES
                .iter()
                .position(|(name, _)| *name == crate_name)
                .unwrap()
        };
        for (from, allowed) in EDGES {
            for to in *allowed {
                assert!(place(from) < place(to), "{from} -> {to}");
                assert!(!["xtask", TEST_KIT].contains(to), "{from} -> {to}");
            }
        }
    }

    #[test]
    fn names_of_a_tree() {
        let tree = "portway-model v0.1.0 (/x)\nregex v1.11.1\nregex v1.11.1 (*)\n\nserde_derive v1.0.0 (proc-macro)\n";
        let expected = ["portway-model", "regex", "serde_derive"]
            .into_iter()
            .collect();
        assert_eq!(names(tree), expected);
    }
}
