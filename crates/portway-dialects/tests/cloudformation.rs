//! Golden files of CloudFormation templates: the native form of what is read, and every message.
//!
//! A line `# given: --set a=b` of YAML, or `"Metadata": {"given": "--set a=b"}` of JSON, says what is given beside a
//! template.
#![cfg(test)]

use portway_dialects::cloudformation::{self, File, Given, Unset};
use portway_dialects::native;
use portway_model::compile::compile;
use portway_model::diagnostic::{Diagnostics, Severity};
use portway_model::lift::lift;
use portway_model::snapshot::Snapshot;
use portway_model::span::{FileId, Sources};
use std::fs;
use std::path::{Path, PathBuf};

fn golden(name: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let entries = fs::read_dir(folder.join(name)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| {
        let end = path.extension().unwrap_or_default();
        end == "json" || end == "yaml"
    });
    files.sort();
    assert!(!files.is_empty(), "{name} is empty");
    files
}

/// The golden file beside a template: JSON and YAML of one name have their own.
fn beside(path: &Path, end: &str) -> PathBuf {
    match path.extension().is_some_and(|own| own == "json") {
        true => path.with_extension(format!("json.{end}")),
        false => path.with_extension(end),
    }
}

/// Compares with a golden file, or writes it where `PORTWAY_BLESS` is set.
fn held(path: &Path, actual: &str) {
    if std::env::var_os("PORTWAY_BLESS").is_some() {
        fs::write(path, actual).unwrap();
        return;
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(
        actual,
        expected,
        "{} differs; PORTWAY_BLESS=1 writes it anew",
        path.display()
    );
}

/// `line:col: error[P0101]: message`, then help and further places, indented.
fn short_form(text: &str, found: &Diagnostics, wanted: Severity) -> String {
    let mut sources = Sources::default();
    sources.add("file", text);
    let place = |span| {
        let position = sources.position(span);
        position.map_or("-".to_owned(), |p| format!("{}:{}", p.line, p.column))
    };
    let mut out = String::new();
    for one in found.iter().filter(|one| one.severity >= wanted) {
        let first = one.labels.first();
        let place_of_it = first.map_or("-".to_owned(), |label| place(label.span));
        let severity = one.severity.as_str();
        out += &format!("{place_of_it}: {severity}[{}]: {}\n", one.code, one.message);
        for label in one.labels.iter().skip(1) {
            out += &format!("    {}: {}\n", place(label.span), label.text);
        }
        if let Some(help) = &one.help {
            out += &format!("    help: {help}\n");
        }
    }
    out
}

/// What a text says is given beside it.
fn given_by(text: &str) -> Given {
    let mut given = Given::default();
    let lines = text.lines().filter_map(|line| {
        let (_, rest) = line
            .split_once("given: ")
            .or_else(|| line.split_once("\"given\": \""))?;
        Some(rest.trim_end_matches(['"', '}', ',', ' ']))
    });
    let words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
    let mut words = words.into_iter();
    while let Some(flag) = words.next() {
        let list = match flag {
            "--set" => &mut given.placeholders,
            "--param" => &mut given.parameters,
            "--import" => &mut given.imports,
            "--target" => &mut given.targets,
            "--certificate" => &mut given.certificates,
            "--source-group" => &mut given.source_groups,
            "--bind" => &mut given.binds,
            "--cookie-key" => {
                given.cookie_key = words.next().map(str::to_owned);
                continue;
            }
            "--check" => {
                given.unset = Unset::Warned;
                continue;
            }
            "--ignore-other-resources" => {
                given.ignore_other_resources = true;
                continue;
            }
            other => panic!("{other}"),
        };
        let (name, value) = words.next().unwrap().split_once('=').unwrap();
        list.push((name.to_owned(), value.to_owned()));
    }
    given
}

/// The native form, the snapshot, and what was found.
fn judge(text: &str, given: &Given) -> (String, Option<Snapshot>, Diagnostics) {
    let file = File {
        id: FileId(0),
        text,
    };
    let (draft, mut found) = cloudformation::parse_all(&[file], given);
    let printed = native::print(&draft);
    let mut snapshot = None;
    if !found.has_errors() {
        let (compiled, more) = compile(&draft);
        found.extend(more);
        snapshot = compiled;
    }
    found.sort();
    (printed, snapshot, found)
}

#[test]
fn checks_by_grpc_are_read_though_requests_are_not_forwarded() {
    let group = |more: &str| {
        format!(
            "Resources:\n  Calls:\n    Type: AWS::ElasticLoadBalancingV2::TargetGroup\n    Properties:\n      \
             Port: 50051\n      Protocol: HTTP\n      ProtocolVersion: GRPC\n{more}"
        )
    };
    for (more, expected) in [
        (
            "",
            "grpc = { method = \"/AWS.ALB/healthcheck\", codes = 12 }",
        ),
        (
            "      HealthCheckProtocol: HTTPS\n      HealthCheckPath: /a.B/C\n      Matcher: {GrpcCode: '0,5-99'}\n",
            "grpcs = { method = \"/a.B/C\", codes = [0, \"5-99\"] }",
        ),
    ] {
        let (printed, _, found) = judge(&group(more), &Given::default());
        assert!(printed.contains(expected), "{printed}");
        assert!(printed.contains("ELB-HealthChecker/2.0"), "{printed}");
        let refused: Vec<&str> = found.iter().map(|it| it.message.as_str()).collect();
        let version = "requests by gRPC are not forwarded yet: `ProtocolVersion` GRPC";
        assert!(refused.contains(&version), "{refused:?}");
    }
}

#[test]
fn templates_are_read_and_their_native_form_means_the_same() {
    let mut refused = String::new();
    for path in golden("cloudformation") {
        let text = fs::read_to_string(&path).unwrap();
        let (printed, snapshot, found) = judge(&text, &given_by(&text));
        let messages = short_form(&text, &found, Severity::Note);
        held(&beside(&path, "diagnostics"), &messages);
        held(&beside(&path, "printed.toml"), &printed);
        let Some(snapshot) = snapshot else {
            refused += &format!("{}\n{messages}", path.display());
            continue;
        };
        let lifted = native::print(&lift(&snapshot));
        for printed in [printed, lifted] {
            let (draft, found) = native::parse(FileId(0), &printed);
            let messages = short_form(&printed, &found, Severity::Error);
            assert_eq!(messages, "", "{}\n{printed}", path.display());
            let (again, _) = compile(&draft);
            assert_eq!(
                again.as_ref(),
                Some(&snapshot),
                "{}\n{printed}",
                path.display()
            );
        }
    }
    assert!(refused.is_empty(), "{refused}");
}

#[test]
fn errors_are_said_at_their_place() {
    for path in golden("cloudformation-errors") {
        let text = fs::read_to_string(&path).unwrap();
        let (_, snapshot, found) = judge(&text, &given_by(&text));
        assert!(snapshot.is_none(), "{} is not wrong", path.display());
        let messages = short_form(&text, &found, Severity::Note);
        held(&beside(&path, "diagnostics"), &messages);
    }
}

/// The same in JSON and YAML is the same.
#[test]
fn json_and_yaml_mean_the_same() {
    let files = golden("cloudformation");
    let pairs = files.iter().filter_map(|path| {
        let json = path.with_extension("json");
        (path.extension()? == "yaml" && json.exists()).then_some((path, json))
    });
    let mut count = 0;
    for (yaml, json) in pairs {
        let read = |path: &Path| {
            let text = fs::read_to_string(path).unwrap();
            judge(&text, &given_by(&text)).1.unwrap()
        };
        assert_eq!(read(yaml), read(&json), "{}", yaml.display());
        count += 1;
    }
    assert!(count > 0);
}

/// A broken template gives diagnostics whose places lie within it.
#[test]
fn broken_templates_are_read_as_far_as_they_go() {
    let files = golden("cloudformation").into_iter();
    for path in files.chain(golden("cloudformation-errors")) {
        let text = fs::read_to_string(&path).unwrap();
        let given = given_by(&text);
        let ends = text.char_indices().map(|(at, _)| at);
        for end in ends.filter(|at| at % 61 == 0) {
            let cut = text.get(..end).unwrap();
            let without = format!(
                "{cut}{}",
                text.get(end..).unwrap().replacen([':', '[', '"'], "", 1)
            );
            for text in [cut, &without] {
                let (_, _, found) = judge(text, &given);
                for label in found.iter().flat_map(|one| &one.labels) {
                    let there = text.get(label.span.range()).is_some();
                    assert!(there, "{}: {end}: {label:?}", path.display());
                }
            }
        }
    }
}

/// A template may import what one before it exports, and its rules belong to listeners of another.
#[test]
fn several_templates_are_one_configuration() {
    let first = "Resources:
  Balancer: {Type: 'AWS::ElasticLoadBalancingV2::LoadBalancer', Properties: {Type: application}}
  Web:
    Type: AWS::ElasticLoadBalancingV2::Listener
    Properties:
      LoadBalancerArn: !Ref Balancer
      Port: 80
      Protocol: HTTP
      DefaultActions: [{Type: fixed-response, FixedResponseConfig: {StatusCode: 404}}]
Outputs:
  Web: {Value: !Ref Web, Export: {Name: !Sub '${AWS::StackName}-web'}}
";
    let second = "Resources:
  Api:
    Type: AWS::ElasticLoadBalancingV2::TargetGroup
    Properties: {Protocol: HTTP, Port: 80, Targets: [{Id: 10.0.0.1}]}
  Rule:
    Type: AWS::ElasticLoadBalancingV2::ListenerRule
    Properties:
      ListenerArn: !ImportValue portway-web
      Priority: 1
      Conditions: [{Field: path-pattern, Values: [/api]}]
      Actions: [{Type: forward, TargetGroupArn: !Ref Api}]
";
    let file = |id, text| File {
        id: FileId(id),
        text,
    };
    let files = [file(0, first), file(1, second)];
    let (draft, found) = cloudformation::parse_all(&files, &Given::default());
    assert!(!found.has_errors(), "{found:#?}");
    let (snapshot, found) = compile(&draft);
    assert!(!found.has_errors(), "{found:#?}");
    assert_eq!(snapshot.unwrap().groups.len(), 1);
    let printed = native::print(&draft);
    assert!(
        printed.contains("when = \"Path(`/api`)\"\nforward = \"Api\""),
        "{printed}"
    );
    // In the other order the import is not there yet.
    let files = [file(0, second), file(1, first)];
    let (_, found) = cloudformation::parse_all(&files, &Given::default());
    let message = "no template exports `portway-web`";
    assert!(found.iter().any(|one| one.message == message), "{found:#?}");
}

/// The published files of a folder; `None`, said so, where they are not at hand.
fn published(name: &str) -> Option<Vec<PathBuf>> {
    let Some(root) = std::env::var_os("PORTWAY_SAMPLES") else {
        eprintln!("skipped: PORTWAY_SAMPLES is not set");
        return None;
    };
    let entries = fs::read_dir(Path::new(&root).join(name)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| {
        let end = path.extension().unwrap_or_default();
        end == "json" || end == "yaml" || end == "yml"
    });
    files.sort();
    Some(files)
}

/// Samples that are refused even where other resources are ignored: a part of the name, and lines with errors.
const REFUSED: &[(&str, &[&str])] = &[
    // A macro.
    ("SapPrivateLink.yaml", &["97"]),
    // Two load balancers, each with a listener on port 80.
    ("EC2LaunchType_clusters_private-vpc.json", &["784"]),
    ("FargateLaunchType_clusters_private-vpc.json", &["565"]),
    ("public-private-vpc.yml", &["349"]),
    // Wrong on purpose.
    (
        "bad_generic.yaml",
        &[
            "4", "120", "123", "128", "134", "139", "139", "198", "206", "229",
        ],
    ),
];

#[test]
fn published_samples_are_accepted_or_refused_at_their_line() {
    let Some(files) = published("samples/cloudformation") else {
        return;
    };
    let mut wrong = String::new();
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        let given = Given {
            unset: Unset::Warned,
            ..Given::default()
        };
        // Each has resources of other kinds, and each of those is an error at its line.
        let (_, _, found) = judge(&text, &given);
        assert!(found.has_errors(), "{name}");
        assert!(
            found.iter().all(|one| !one.labels.is_empty()),
            "{name}: {found:#?}"
        );
        let given = Given {
            ignore_other_resources: true,
            ..given
        };
        let (_, _, found) = judge(&text, &given);
        let errors = short_form(&text, &found, Severity::Error);
        let lines: Vec<&str> = errors
            .lines()
            .filter(|line| !line.starts_with(' '))
            .filter_map(|line| line.split(':').next())
            .collect();
        let expected = REFUSED.iter().find(|(part, _)| name.contains(part));
        if lines != expected.map_or(&[][..], |(_, lines)| *lines) {
            wrong += &format!("{name}\n{errors}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn the_published_templates_of_codestream_run() {
    let Some(files) = published("deployments/codestream") else {
        return;
    };
    assert_eq!(files.len(), 2);
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let mut unfilled = vec!["vpcId", "publicSubnetIdA", "publicSubnetIdB"];
        unfilled.extend(["CodeStreamClientCidrBlock", "CodeStreamHostOsIp"]);
        if text.contains("sslCertArn") {
            unfilled.push("sslCertArn");
        }
        let (_, snapshot, found) = judge(&text, &Given::default());
        assert!(snapshot.is_none());
        for name in &unfilled {
            let message = format!("`{{{{ {name} }}}}` is not filled in");
            let one = found.iter().find(|one| one.message == message).unwrap();
            assert!(!one.labels.is_empty(), "{name}");
        }
        let value = |name: &str| match name {
            "CodeStreamClientCidrBlock" => "10.0.0.0/8",
            "CodeStreamHostOsIp" => "192.0.2.1",
            "sslCertArn" => "@cert.pem",
            _ => "id-1",
        };
        let given = Given {
            placeholders: unfilled
                .iter()
                .map(|name| ((*name).to_owned(), value(name).to_owned()))
                .collect(),
            targets: ["ApiTargets", "BroadcasterTargets"]
                .map(|group| (group.to_owned(), "10.0.0.5".to_owned()))
                .to_vec(),
            ..Given::default()
        };
        let (printed, snapshot, found) = judge(&text, &given);
        let messages = short_form(&text, &found, Severity::Warning);
        assert_eq!(messages, "", "{printed}");
        let snapshot = snapshot.unwrap();
        assert_eq!(snapshot.listeners.len(), 2);
        assert_eq!(snapshot.groups.len(), 2);
    }
}
