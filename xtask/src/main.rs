//! The project's own commands: `cargo xtask check`, `tidy`, `docs`, `test`, `fuzz`, `torture`.
//!
//! This file only picks the command; each command is a module. Exit codes: 0 all is well, 1 something failed, 2 the
//! command line is wrong.

mod bench;
mod check;
mod edges;
mod features;
mod fuzz;
mod instructions;
mod lex;
mod limits;
mod links;
mod process;
mod test;
mod tidy;
mod tools;
mod torture;
mod workspace;

use std::process::ExitCode;

use workspace::Workspace;

const HELP: &str = "\
Commands of the Portway project:

  cargo xtask check                        format, clippy, docs, crate edges, crypto library, tidy, pages made from the source
  cargo xtask tidy                         only tidy: rules about source files, links of pages, tests that docs/features.md names
  cargo xtask docs [--check]               writes the pages made from the source, or compares them with it
  cargo xtask test                         installs what the tests need (Debian), then check, every test, every doc test
  cargo xtask test FILTER...               only the tests chosen by these arguments of cargo-nextest
  cargo xtask fuzz [TARGET] [--seconds N]  every fuzz target, or one of them, for N seconds each (60)
  cargo xtask torture [--minutes N] [--seed S] [--binary FILE]
                                           misbehaving clients and targets around a release build, for N minutes (10)
  cargo xtask torture reload [--reloads N] [--seed S] [--minutes N] [--tunnels N] [--connections N] [--upgrades N]
                      [--flow-mib N] [--binary FILE] [--json]
                                           reloads, certificate swaps and upgrades under load: nothing may be lost (10000 reloads)
  cargo xtask instructions [--bless]       instructions that an exchange costs, held against xtask/instructions.toml
  cargo xtask bench [CASE...] [--rounds N] [--seconds N] [--binary FILE] [--json FILE]
                                           CPU a request and memory a connection beside HAProxy's: small, large, close, idle
  cargo xtask help                         this text

Environment:

  PORTWAY_SAMPLES      folder of the published documents; tests over them are skipped where it is unset
  PORTWAY_TEST_PYTHON  set by `test`: a Python that has the WebSocket peer of the tests
";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    Check,
    Tidy,
    Docs {
        check: bool,
    },
    Test {
        filter: Vec<String>,
    },
    Fuzz {
        target: Option<String>,
        seconds: u64,
    },
    Torture(torture::Options),
    TortureReload(torture::reload::Options),
    Instructions {
        bless: bool,
    },
    Bench(bench::Options),
    Help,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let command = match parse(&arguments) {
        Ok(command) => command,
        Err(problem) => {
            eprintln!("xtask: {problem}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match run(&command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("xtask: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<(), String> {
    match command {
        Command::Check => check::run(&Workspace::load()?),
        Command::Tidy => {
            let workspace = Workspace::load()?;
            let steps = [tidy::run(&workspace), features::check(&workspace)];
            let found: Vec<String> = steps.into_iter().filter_map(Result::err).collect();
            if found.is_empty() {
                return Ok(());
            }
            Err(found.join("\n"))
        }
        Command::Docs { check } => limits::run(&Workspace::load()?, *check),
        Command::Test { filter } => test::run(&Workspace::load()?, filter),
        Command::Fuzz { target, seconds } => {
            fuzz::run(&Workspace::load()?, target.as_deref(), *seconds)
        }
        Command::Torture(options) => torture::run(&Workspace::load()?, options),
        Command::TortureReload(options) => torture::reload::run(&Workspace::load()?, options),
        Command::Instructions { bless } => instructions::run(&Workspace::load()?, *bless),
        Command::Bench(options) => bench::run(&Workspace::load()?, options),
        Command::Help => {
            print!("{HELP}");
            Ok(())
        }
    }
}

fn parse(arguments: &[String]) -> Result<Command, String> {
    let Some((name, rest)) = arguments.split_first() else {
        return Ok(Command::Help);
    };
    match name.as_str() {
        "check" => alone(Command::Check, name, rest),
        "tidy" => alone(Command::Tidy, name, rest),
        "docs" => match rest {
            [option] if option == "--check" => Ok(Command::Docs { check: true }),
            _ => alone(Command::Docs { check: false }, name, rest),
        },
        "test" => Ok(Command::Test {
            filter: rest.to_vec(),
        }),
        "fuzz" => parse_fuzz(rest),
        "torture" => match rest.split_first() {
            Some((word, rest)) if word == "reload" => {
                torture::reload::Options::parse(rest).map(Command::TortureReload)
            }
            _ => parse_torture(rest).map(Command::Torture),
        },
        "instructions" => match rest {
            [option] if option == "--bless" => Ok(Command::Instructions { bless: true }),
            _ => alone(Command::Instructions { bless: false }, name, rest),
        },
        "bench" => bench::Options::parse(rest).map(Command::Bench),
        "help" | "--help" | "-h" => Ok(Command::Help),
        other => Err(format!("no such command: {other}")),
    }
}

fn alone(command: Command, name: &str, rest: &[String]) -> Result<Command, String> {
    match rest.first() {
        None => Ok(command),
        Some(extra) => Err(format!("{name} does not know {extra}")),
    }
}

fn parse_fuzz(arguments: &[String]) -> Result<Command, String> {
    let mut target = None;
    let mut seconds = fuzz::DEFAULT_SECONDS;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == "--seconds" {
            let value = rest.next().ok_or("--seconds needs a number")?;
            seconds = value
                .parse()
                .ok()
                .filter(|n| *n > 0)
                .ok_or_else(|| format!("not a number of seconds: {value}"))?;
        } else if argument.starts_with('-') || target.is_some() {
            return Err(format!("fuzz does not know {argument}"));
        } else {
            target = Some(argument.clone());
        }
    }
    Ok(Command::Fuzz { target, seconds })
}

fn parse_torture(arguments: &[String]) -> Result<torture::Options, String> {
    let mut options = torture::Options {
        minutes: torture::DEFAULT_MINUTES,
        seed: None,
        binary: None,
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = |what: &str| rest.next().ok_or(format!("{argument} needs {what}"));
        match argument.as_str() {
            "--minutes" => {
                let text = value("a number")?;
                let minutes = text.parse().ok();
                options.minutes = minutes
                    .filter(|n| (1..=torture::MAX_MINUTES).contains(n))
                    .ok_or_else(|| format!("not a number of minutes: {text}"))?;
            }
            "--seed" => {
                let text = value("a number")?;
                let seed = text.parse().map_err(|_| format!("not a seed: {text}"))?;
                options.seed = Some(seed);
            }
            "--binary" => options.binary = Some(value("a file")?.into()),
            other => return Err(format!("torture does not know {other}")),
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Result<Command, &str>) {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        assert_eq!(parse(&arguments), expected.map_err(str::to_owned), "{line}");
    }

    fn fuzz(target: Option<&str>, seconds: u64) -> Result<Command, &'static str> {
        Ok(Command::Fuzz {
            target: target.map(str::to_owned),
            seconds,
        })
    }

    fn torture(minutes: u64, seed: Option<u64>) -> Result<Command, &'static str> {
        Ok(Command::Torture(torture::Options {
            minutes,
            seed,
            binary: None,
        }))
    }

    #[test]
    fn command_lines() {
        check("", Ok(Command::Help));
        check("help", Ok(Command::Help));
        check("check", Ok(Command::Check));
        check("check now", Err("check does not know now"));
        check("tidy", Ok(Command::Tidy));
        check("docs", Ok(Command::Docs { check: false }));
        check("docs --check", Ok(Command::Docs { check: true }));
        check("docs now", Err("docs does not know now"));
        check("test", Ok(Command::Test { filter: Vec::new() }));
        check(
            "test -p xtask",
            Ok(Command::Test {
                filter: vec!["-p".to_owned(), "xtask".to_owned()],
            }),
        );
        check("fuzz", fuzz(None, 60));
        check("fuzz head --seconds 5", fuzz(Some("head"), 5));
        check("fuzz --seconds 5 head", fuzz(Some("head"), 5));
        check("fuzz --seconds", Err("--seconds needs a number"));
        check("fuzz --seconds 0", Err("not a number of seconds: 0"));
        check("fuzz a b", Err("fuzz does not know b"));
        check("torture", torture(10, None));
        check("torture --minutes 2 --seed 7", torture(2, Some(7)));
        check("torture --minutes", Err("--minutes needs a number"));
        check("torture --minutes 0", Err("not a number of minutes: 0"));
        check("torture --seed x", Err("not a seed: x"));
        check("torture now", Err("torture does not know now"));
        check("chekc", Err("no such command: chekc"));
    }
}
