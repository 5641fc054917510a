//! What the README and the pages of `docs/` show of the program is what it says.
#![cfg(test)]

use serde_json::Value;
use std::process::{Command, Output};

const README: &str = include_str!("../../../README.md");
const COMMAND_LINE: &str = include_str!("../../../docs/cli.md");

/// The fenced blocks of a page in this language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let parts = page.split("\n```");
    parts
        .filter_map(|part| part.strip_prefix(language)?.strip_prefix('\n'))
        .map(|text| format!("{text}\n"))
        .collect()
}

/// The small configuration of the tour.
fn web() -> String {
    blocks(README, "toml").remove(0)
}

/// Runs `portway check` with `options` on a file `web.toml` of this text.
fn check(text: &str, options: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("web.toml"), text).unwrap();
    Command::new(env!("CARGO_BIN_EXE_portway"))
        .args(["check", "web.toml"])
        .args(options)
        .current_dir(folder.path())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

#[test]
fn the_configuration_of_the_tour_is_good() {
    let health_check = README
        .split('`')
        .find(|text| text.starts_with("health_check = "))
        .unwrap();
    for config in [web(), format!("{}{health_check}\n", web())] {
        let output = check(&config, &[]);
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{output:?}"
        );
    }
}

#[test]
fn the_mistake_of_the_tour_is_rendered_as_shown() {
    let shown = blocks(README, "console");
    let expected = shown
        .iter()
        .find_map(|block| block.strip_prefix("$ portway check web.toml\n"))
        .unwrap();
    let output = check(&web().replace("forward", "foward"), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        format!("{}{}", text(&output.stderr), text(&output.stdout)),
        expected
    );
}

#[test]
fn the_json_of_check_is_as_shown() {
    let mistake = web().replace("\n\n", "\nmax_connection = 100\n\n");
    let output = check(&mistake, &["--json"]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let shown: Value = serde_json::from_str(&blocks(COMMAND_LINE, "json")[0]).unwrap();
    assert_eq!(found, shown);
}

#[test]
fn the_shape_of_status_is_as_shown() {
    let shown: portway_admin::json::Status =
        serde_json::from_str(&blocks(COMMAND_LINE, "json")[1]).unwrap();
    let shown = serde_json::to_value(shown).unwrap();
    let page: Value = serde_json::from_str(&blocks(COMMAND_LINE, "json")[1]).unwrap();
    assert_eq!(shown, page, "every field is shown, and no other");
}

/// What the program prints for this command line.
fn help(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_portway"))
        .arg("help")
        .args(arguments)
        .output()
        .unwrap();
    text(&output.stdout).to_owned()
}

/// The first words of the lines under `Commands:`, without `help`.
fn commands(help: &str) -> Vec<&str> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect()
}

/// The long options in a text.
fn options(help: &str) -> Vec<&str> {
    let words = help.split(|c: char| !c.is_ascii_lowercase() && c != '-');
    words
        .filter(|word| word.starts_with("--") && word.len() > 3)
        .collect()
}

#[test]
fn every_command_and_option_is_on_the_page() {
    let all = help(&[]);
    for command in commands(&all) {
        let heading = format!("\n## {command}\n");
        assert!(COMMAND_LINE.contains(&heading), "{command} has no section");
        let of_command = help(&[command]);
        let mut texts = vec![of_command.clone()];
        texts.extend(
            commands(&of_command)
                .iter()
                .map(|below| help(&[command, below])),
        );
        for option in texts.iter().flat_map(|text| options(text)) {
            assert!(
                option == "--help" || COMMAND_LINE.contains(option),
                "{option} of {command} is not in docs/cli.md"
            );
        }
    }
}
