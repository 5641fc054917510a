//! `portway plan`: what a reload from one configuration to another would change.

use std::path::Path;
use std::process::ExitCode;

use portway_admin::json;
use portway_control::plan;
use portway_control::sources::compile_files_with;
use portway_dialects::cloudformation::Unset;
use portway_model::snapshot::Snapshot;

use crate::cli::{Plan, reading};
use crate::render;

/// Runs the command. Exit code 1 where one of the two is no configuration.
pub(crate) fn run(arguments: &Plan, quiet: bool) -> ExitCode {
    let [Some(old), Some(new)] =
        [&arguments.old, &arguments.new].map(|path| compiled(path, arguments, quiet))
    else {
        return ExitCode::FAILURE;
    };
    let plan = plan::Plan::between(&old, &new);
    super::print(&match arguments.json {
        true => {
            let steps: Vec<json::Step> = plan.steps.iter().map(json::Step::from).collect();
            format!("{:#}\n", serde_json::json!({ "plan": steps }))
        }
        false if plan.is_empty() => "nothing changes\n".to_owned(),
        false => plan.to_string(),
    });
    ExitCode::SUCCESS
}

fn compiled(path: &Path, arguments: &Plan, quiet: bool) -> Option<Snapshot> {
    let reading = reading(&arguments.language, &arguments.templates, Unset::Refused);
    let compiled = compile_files_with(&[path.to_owned()], &reading);
    render::to_stderr(&compiled.sources, &compiled.diagnostics, quiet);
    compiled.snapshot
}
