//! The workspace as `cargo metadata` tells it: where it is, its crates and what their manifests depend on.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::process;

/// The checkout we work on.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// Folder of the root manifest.
    pub(crate) root: PathBuf,
    /// Folder of build results; honours `CARGO_TARGET_DIR`.
    pub(crate) target: PathBuf,
    /// Its members.
    pub(crate) packages: Vec<Package>,
}

/// One crate of a workspace.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) dependencies: Vec<Dependency>,
    /// Names of its binaries.
    pub(crate) binaries: Vec<String>,
}

/// One dependency line of a manifest.
#[derive(Debug)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

/// The table of a manifest that a dependency stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Build,
    Dev,
}

impl Workspace {
    /// The workspace that this program was built from.
    pub(crate) fn load() -> Result<Self, String> {
        let own = Path::new(env!("CARGO_MANIFEST_DIR"));
        Self::at(own.parent().unwrap_or(own))
    }

    /// The workspace whose root manifest is in `folder`.
    pub(crate) fn at(folder: &Path) -> Result<Self, String> {
        let mut command = process::cargo(folder);
        let text =
            process::quiet(command.args(["metadata", "--no-deps", "--format-version", "1"]))?;
        Self::from_json(&text)
            .ok_or_else(|| "cargo metadata prints something we cannot read".to_owned())
    }

    fn from_json(text: &str) -> Option<Self> {
        let json: Value = serde_json::from_str(text).ok()?;
        let packages = json
            .get("packages")?
            .as_array()?
            .iter()
            .map(package)
            .collect::<Option<_>>()?;
        Some(Self {
            root: path(&json, "workspace_root")?,
            target: path(&json, "target_directory")?,
            packages,
        })
    }
}

fn package(json: &Value) -> Option<Package> {
    Some(Package {
        name: string(json, "name")?,
        dependencies: json
            .get("dependencies")?
            .as_array()?
            .iter()
            .map(dependency)
            .collect::<Option<_>>()?,
        binaries: binaries(json.get("targets")?.as_array()?),
    })
}

fn dependency(json: &Value) -> Option<Dependency> {
    let kind = match json.get("kind")?.as_str() {
        None => Kind::Normal,
        Some("build") => Kind::Build,
        Some("dev") => Kind::Dev,
        Some(_) => return None,
    };
    Some(Dependency {
        name: string(json, "name")?,
        kind,
    })
}

fn binaries(targets: &[Value]) -> Vec<String> {
    let is_binary = |target: &&Value| {
        let kinds = target.get("kind").and_then(Value::as_array);
        kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind == "bin"))
    };
    targets
        .iter()
        .filter(is_binary)
        .filter_map(|target| string(target, "name"))
        .collect()
}

fn string(json: &Value, key: &str) -> Option<String> {
    json.get(key)?.as_str().map(str::to_owned)
}

fn path(json: &Value, key: &str) -> Option<PathBuf> {
    string(json, key).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_read() {
        let text = r#"{"workspace_root": "/w", "target_directory": "/t", "packages": [{
            "name": "a",
            "targets": [{"name": "a", "kind": ["lib"]}, {"name": "tool", "kind": ["bin"]}],
            "dependencies": [
                {"name": "b", "kind": null}, {"name": "c", "kind": "dev"}, {"name": "d", "kind": "build"}
            ]}]}"#;
        let workspace = Workspace::from_json(text).unwrap();
        assert_eq!(
            (workspace.root, workspace.target),
            ("/w".into(), "/t".into())
        );
        let package = workspace.packages.first().unwrap();
        assert_eq!(
            (package.name.as_str(), package.binaries.join(" ")),
            ("a", "tool".to_owned())
        );
        let edges: Vec<_> = package
            .dependencies
            .iter()
            .map(|d| (d.name.as_str(), d.kind))
            .collect();
        assert_eq!(
            edges,
            [("b", Kind::Normal), ("c", Kind::Dev), ("d", Kind::Build)]
        );
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "{}", r#"{"packages": []}"#] {
            assert!(Workspace::from_json(text).is_none(), "{text}");
        }
    }
}
