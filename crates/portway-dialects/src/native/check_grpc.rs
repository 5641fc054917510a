//! `grpc` and `grpcs` of a health check.

use super::form::{Form, Keyed, Out, Reader};
use super::pairs;
use crate::tree::{Content, Entry};
use portway_model::check_grpc::{GrpcCall, GrpcCheck};
use portway_model::expression::NumberRange;

/// The keys of HTTP checks that those by gRPC have too.
pub(super) const KEYS: [&str; 2] = ["host", "headers"];

const WHAT: &str = "the name of a service, or { method = \"/package.Service/Method\" }";

pub(super) fn read(table: &Keyed<'_>, entry: &Entry, reader: &mut Reader<'_>) -> Option<GrpcCheck> {
    let headers = table.entry("headers");
    let headers = headers.map(|entry| pairs::read::<String>(&entry.item, reader));
    let headers = headers.unwrap_or_default().into_iter();
    Some(GrpcCheck {
        call: read_call(entry, reader)?,
        authority: table.optional("host", reader),
        metadata: headers.map(|(name, value)| (name.value, value)).collect(),
    })
}

fn read_call(entry: &Entry, reader: &mut Reader<'_>) -> Option<GrpcCall> {
    let item = &entry.item;
    if !matches!(item.content, Content::Table { .. }) {
        let service = reader.text(item, WHAT)?.text.to_owned();
        return Some(GrpcCall::Health { service });
    }
    let keyed = reader.keyed(item, WHAT, &["method", "codes"])?;
    if keyed.entry("method").is_none() {
        let help = "write { method = \"/package.Service/Method\" }, or the name of a service";
        return reader.refuse(item.span, "a call without `method`", help);
    }
    Some(GrpcCall::Method {
        path: keyed.optional("method", reader)?,
        codes: keyed.optional("codes", reader).unwrap_or_else(usual_codes),
    })
}

/// A call that is done.
fn usual_codes() -> Vec<NumberRange> {
    vec![NumberRange { min: 0, max: 0 }]
}

pub(super) fn write(key: &str, check: &GrpcCheck, out: &mut Vec<(String, Out)>) {
    let call = match &check.call {
        GrpcCall::Health { service } => service.write(),
        GrpcCall::Method { path, codes } => {
            let mut call = vec![("method".to_owned(), path.write())];
            if *codes != usual_codes() {
                call.push(("codes".to_owned(), codes.write()));
            }
            Out::Table(call)
        }
    };
    out.push((key.to_owned(), call));
    if let Some(host) = &check.authority {
        out.push(("host".to_owned(), host.write()));
    }
    if !check.metadata.is_empty() {
        let headers = check.metadata.iter();
        let headers = headers.map(|(name, value)| (name.clone(), value.write()));
        out.push(("headers".to_owned(), pairs::write(headers.collect())));
    }
}
