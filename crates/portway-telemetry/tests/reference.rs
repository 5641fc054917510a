//! The reference pages of metrics and of the access log are made from the lists in the code; these tests compare them
//! with the files in `docs/`. `PORTWAY_BLESS=1 cargo test -p portway-telemetry` writes the files anew.

#![cfg(test)]

use std::fmt::Write;

use portway_telemetry::access_log::{KEYS, Scope};
use portway_telemetry::metrics::{BUCKET_BOUNDS, Family, Limit, MOST_TARGET_HISTOGRAMS};
use portway_telemetry::record::FaultCode;

fn check(file: &str, text: &str) {
    let path = format!("{}/../../docs/{file}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("PORTWAY_BLESS").is_some() {
        std::fs::write(&path, text).expect("the page is written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == text,
        "docs/{file} is not what the code says: PORTWAY_BLESS=1 cargo test -p portway-telemetry writes it anew"
    );
}

#[test]
fn docs_metrics_md() {
    let mut page = String::from(
        "# Metrics\n\n\
         The admin address answers `GET /metrics` in the Prometheus text format 0.0.4. This page is made from the list in\n\
         the code (`PORTWAY_BLESS=1 cargo test -p portway-telemetry` writes it anew).\n\n\
         Labels are names of the configuration or members of closed lists; nothing that a client sends becomes a label.\n\
         A reload keeps the counters of everything that keeps its name.\n\n\
         | metric | kind | labels | meaning |\n|---|---|---|---|\n",
    );
    for family in Family::ALL {
        let labels: Vec<String> = family
            .labels()
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        let (name, kind, help) = (family.name(), family.kind().word(), family.help());
        writeln!(
            page,
            "| `{name}` | {kind} | {} | {help} |",
            labels.join(", ")
        )
        .expect("a String");
    }
    let bounds: Vec<&str> = BUCKET_BOUNDS.iter().map(|(_, text)| *text).collect();
    write!(
        page,
        "\nUpper bounds of histogram buckets, in seconds: {}; of the duration of connections sixty times as much, up to an hour.\n",
        bounds.join(", ")
    )
    .expect("a String");
    write!(
        page,
        "\nHistograms of targets are made when there is something to count, and left out before: each worker has 320 bytes for one that it\n\
         has asked, 320 more where TLS is spoken, and 136 where somebody has waited for it alone. The first {MOST_TARGET_HISTOGRAMS} targets of the configuration are shown with theirs.\n"
    )
    .expect("a String");
    page.push_str("\n## Limits\n\nValues of the label `limit`, and what happens when the limit is reached.\n\n");
    page.push_str("| limit | of what: then |\n|---|---|\n");
    for limit in Limit::ALL {
        writeln!(page, "| `{}` | {} |", limit.name(), limit.meaning()).expect("a String");
    }
    page.push_str(
        "\nValues of the label `fault` are those of the [access log](access-log.md#faults).\n",
    );
    check("metrics.md", &page);
}

#[test]
fn docs_access_log_md() {
    let mut page = String::from(
        "# Access log\n\n\
         Every HTTP exchange and every TCP connection leaves exactly one line when it ends. This page is made from the list\n\
         in the code (`PORTWAY_BLESS=1 cargo test -p portway-telemetry` writes it anew).\n\n\
         ## JSON\n\n\
         One object a line, with these keys in this order. A key whose value is unknown is left out. Keys are only ever\n\
         added. Bytes that are not UTF-8 are written as `\\u00XX`, as if they were Latin-1; control characters, U+2028 and\n\
         U+2029 are escaped, so that a line is one line for every reader.\n\n\
         | key | form | meaning | records |\n|---|---|---|---|\n",
    );
    for key in KEYS {
        let records = match key.scope {
            Scope::Both => "HTTP, TCP",
            Scope::Http => "HTTP",
        };
        writeln!(
            page,
            "| `{}` | {} | {} | {records} |",
            key.name, key.form, key.meaning
        )
        .expect("a String");
    }
    page.push_str(
        "\n## Faults\n\nValues of the key `fault`, and of the label `fault` of metrics.\n\n",
    );
    page.push_str("| fault | meaning |\n|---|---|\n");
    for fault in FaultCode::ALL {
        writeln!(page, "| `{}` | {} |", fault.code(), fault.meaning()).expect("a String");
    }
    page.push_str(
        "\nExample: `refused_request:te_and_cl`. In metrics the code stands without its reason.\n\n\
         ## Combined\n\n\
         Apache's combined format, as nginx writes it:\n\n\
         ```\n\
         203.0.113.7 - - [10/Oct/2000:13:55:36 +0000] \"GET /a?b=c HTTP/1.1\" 200 2326 \"https://example.com/\" \"Mozilla/5.0\"\n\
         ```\n\n\
         Client, time in UTC, request line, status, bytes of content sent, Referer, User-Agent. What is missing is `-`, a\n\
         status that was never sent is `000`; `\"`, `\\` and everything but printable ASCII is written as `\\xHH`. A TCP\n\
         connection has `TCP` and the name of the listener for a request.\n\n\
         ## As an Application Load Balancer\n\n\
         `alb` writes the fields of an Application Load Balancer's access log in their order:\n\n\
         ```\n\
         https 2026-10-10T13:56:37.042Z web 203.0.113.7:51234 10.0.0.1:8080 0.001 1.498 0.002 200 200 120 2500 \
         \"GET https://app.example.com:443/a?b=c HTTP/1.1\" \"Mozilla/5.0\" TLS_AES_128_GCM_SHA256 TLSv1.3 app \
         \"4bf92f3577b34da6a3ce929d0e0e4736\" \"app.example.com\" \"-\" - 2026-10-10T13:56:35.541Z \"forward\" \"-\" \"-\" \
         \"10.0.0.1:8080\" \"200\" \"-\" \"-\" -\n\
         ```\n\n\
         Scheme, time of the end, listener, client, target; seconds until the request was sent on, until the target answered and until all was\n\
         sent (`-1` where it did not come to that); status sent, status of the target as far as it answered; bytes received and sent; request, User-Agent,\n\
         cipher, version of TLS, target group; trace, else the id of the request; server name of the ClientHello; certificate and rule (not told: `-`);\n\
         time of the beginning; `forward`, `redirect` or `fixed-response`; where a redirect leads (not told); the fault; target and its status\n\
         as lists; classification, its reason and the id of the connection (not told). Texts are escaped as in the combined format. A TCP connection\n\
         has `tcp` or `tls` for a scheme and no request.\n\n\
         ## As HAProxy\n\n\
         `httplog` and `tcplog` are HAProxy's formats of these names (sections 8.2.3 and 8.2.2 of its manual), as templates of values: `portway convert`\n\
         shows them written out.\n\n\
         ```\n\
         203.0.113.7:51234 [10/Oct/2026:13:56:35.541] web app/app1 0/0/1/3/5 200 2500 - - ---- 1/1/0/0/0 0/0 \"GET /a?b=c HTTP/1.1\"\n\
         203.0.113.7:51234 [10/Oct/2026:13:56:35.541] raw app/app1 0/1/5007 212 -- 0/0/0/0/0 0/0\n\
         ```\n",
    );
    check("access-log.md", &page);
}
