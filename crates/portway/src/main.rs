//! The process: reads the command line and runs one command.
//!
//! [`cli`] says what can be written, each file of [`commands`] is one command, [`render`] prints diagnostics,
//! [`serve`] is the life of a running Portway from its start to its end. Nothing here decides about configurations
//! or traffic.

mod background;
mod cli;
mod commands;
mod compare;
mod haproxy;
mod kept;
mod render;
mod serve;
mod system;
mod systemd;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    if arguments.next().is_some_and(|name| haproxy::is_name(&name)) {
        let arguments: Vec<_> = arguments.collect();
        return haproxy::run(&arguments);
    }
    let cli = cli::Cli::parse();
    commands::run(cli)
}
