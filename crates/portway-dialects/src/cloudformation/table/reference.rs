//! `docs/cloudformation.md` is what the tables say. `PORTWAY_BLESS=1 cargo test -p portway-dialects --lib reference`
//! writes it anew.

use super::*;

/// What stands before the tables.
const HEAD: &str = "\
# CloudFormation templates

Portway runs the load balancers of AWS CloudFormation templates: application, network and Classic ones, in JSON and YAML.
This page says what becomes of each resource and property. It is made from the tables in the code (`PORTWAY_BLESS=1
cargo test -p portway-dialects --lib reference` writes it anew).

```sh
portway check template.json      # everything that is wrong, what has no effect, and what is not done yet
portway run template.json --set vpcId=vpc-1 --set sslCertArn=@cert.pem --target ApiTargets=10.0.0.5
portway convert template.json    # the same in the native form, docs/native.md
```

A template is known by `AWSTemplateFormatVersion` or `Resources`; `--as cloudformation` says it. Listeners and target
groups have the names of their logical ids. Several templates are one configuration: a template may import what one
named before it exports, and its rules may belong to listeners of another. Their logical ids are one name
space, and --param, --set and `AWS::StackName` are for all of them: two stacks of one template are two runs of Portway.

| flag | what it gives |
|---|---|
| `--set NAME=VALUE` | the value of a placeholder `{{ NAME }}`. One that is not filled in is an error at its line |
| `--param NAME=VALUE` | the value of a parameter, also of one whose value lies in the Parameter Store, or of a pseudo parameter such as `AWS::Region`. A parameter without a value is an error for `run`, a warning for `check` |
| `--import NAME=VALUE` | the value of an export of a stack that is not here; without it as with parameters |
| `--target GROUP=ADDRESS[:PORT]` | registers a target with a target group, by its logical id or its `Name`; also the address of an instance, by its id or logical id. May be given again and again |
| `--certificate ID=FILE` | the file with the certificate, its chain and its key that AWS would keep, by logical id or ARN; `FILE,KEYFILE` where the key has a file of its own. In place of an ARN, `@FILE` does the same |
| `--source-group GROUP=CIDR` | the addresses of the members of a security group or prefix list that a rule names; several between commas |
| `--bind BALANCER=ADDRESS` | the address that the listeners of a load balancer accept on, by its logical id: two with listeners on one port need it |
| `--cookie-key KEY` | the secret, or `@FILE` with it, that encrypts cookies of stickiness: clients stay with their targets over a restart, and between several Portways |
| `--ignore-other-resources` | resources of other types are left out; without it they are errors |

Functions: `Ref`, `Fn::GetAtt`, `Fn::Sub`, `Fn::Join`, `Fn::Select`, `Fn::Split`, `Fn::If`, `Fn::Equals`, `Fn::And`, `Fn::Or`,
`Fn::Not`, `Condition`, `Fn::FindInMap`, `Fn::GetAZs`, `Fn::Base64`, `Fn::ImportValue`, `Fn::Cidr`, and their short forms in YAML;
in `Rules` also `Fn::Contains`, `Fn::EachMemberEquals` and `Fn::EachMemberIn`. Pseudo parameters have stand-ins
(`us-east-1`, account `123456789012`, stack `portway`), which `--param` replaces.

| state | what it means |
|---|---|
| yes | It does what it does at AWS, but for what the remark says. |
| no effect | It changes nothing here, for the reason that is given. A note names all such properties of the templates. |
| not yet | An error. |
| no | An error: it will not be done, for the reason that is given. |

Nothing is ignored silently.
";

/// What stands after them.
const FOOT: &str = "
## What traffic meets

* A listener accepts on its port on every address of the machine, IPv4 alone unless `IpAddressType` says otherwise.
* Packets of clients that no security group of the load balancer lets in vanish, as at AWS: the kernel drops them
  (`packets_from` of a listener's socket). Where the sockets are another's, or the groups have more than some 1,300 networks,
  such a connection is accepted and closed at once.
* TRACE is answered with 405, and X-Forwarded-For with more than 30 addresses with 463. 464 and 561 cannot come: targets
  speak HTTP/1.1 here, and users are not authenticated.
* Targets get X-Forwarded-For, -Proto and -Port, and no X-Forwarded-Host but one that the client sent. Unless
  `preserve_host_header` says otherwise, `Host` gets the port of the listener, or loses its port where that is 80 or 443.
* X-Amzn-Trace-Id is made where there is none; one with a root gets a `Self`, which is made anew where it is there.
* A new target of a target group takes no traffic before its first passing check, which comes within a second, while another
  is healthy; where none is, all of them are tried. With a Classic load balancer an instance takes traffic until checks
  show that it is out of service, and where all are, none is tried.
* Certificates of targets are not verified, and no server name is sent to them.
* A connection to a target that does not come about is tried at another one, which AWS does not do.
* What the cookies AWSALB and AWSELB say is encrypted, with a key of the process, which `--state-dir` keeps, or the one of
  `--cookie-key`. AWSALBTG has letters that do not tell the name of the target group.
* `ELBSecurityPolicy-2016-08`, which is taken where a listener names no policy, and all others are reduced to TLS 1.2 and
  1.3 with forward secrecy; a warning lists what is left out.
* A redirect names the port, as that of AWS does.
* What is unclear in a request is refused, as with `desync_mitigation_mode` `strictest`.
";

/// The whole page.
fn page() -> String {
    let mut page = HEAD.to_owned();
    rows(&mut page, "Sections", SECTIONS);
    rows(&mut page, "Parameters", PARAMETER);
    rows(&mut page, "Resources", RESOURCE);
    rows(&mut page, "Rules of parameters", RULE);
    rows(&mut page, "Outputs", OUTPUT);
    page.push_str("\n## Types of resources\n\n| type | state | remark |\n|---|---|---|\n");
    for row in RESOURCES {
        line(&mut page, row.name, row.state);
    }
    page.push_str("| any other | no | `--ignore-other-resources` leaves it out |\n");
    for row in RESOURCES {
        rows(&mut page, row.name, row.properties);
    }
    page.push_str(FOOT);
    page
}

fn rows(page: &mut String, title: &str, properties: &[Property]) {
    // Writing to a String cannot fail.
    let _ = write!(
        page,
        "\n## {title}\n\n| property | state | remark |\n|---|---|---|\n"
    );
    within(page, "", properties);
}

fn within(page: &mut String, before: &str, properties: &[Property]) {
    for row in properties {
        let name = format!("{before}{}", row.name);
        line(page, &name, row.state);
        let inner = match row.kind {
            Kind::Object(inner) => Some((".", inner)),
            Kind::Objects(inner) => Some(("[].", inner)),
            Kind::Attributes(inner) => Some((": ", inner)),
            _ => None,
        };
        if let Some((between, inner)) = inner {
            within(page, &format!("{name}{between}"), inner);
        }
    }
}

fn line(page: &mut String, name: &str, state: State) {
    let (word, remark) = match state {
        State::Supported => ("yes", ""),
        State::Except(what) => ("yes", what),
        State::NoEffect(why) => ("no effect", why),
        State::NotYet => ("not yet", ""),
        State::Refused(why) => ("no", why),
    };
    // Writing to a String cannot fail.
    let _ = writeln!(page, "| `{name}` | {word} | {remark} |");
}

#[cfg(test)]
#[test]
fn the_reference_is_what_the_tables_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cloudformation.md");
    let page = page();
    if std::env::var_os("PORTWAY_BLESS").is_some() {
        std::fs::write(path, page).unwrap();
        return;
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == page,
        "docs/cloudformation.md is not what the tables say: PORTWAY_BLESS=1 cargo test -p portway-dialects --lib reference writes it anew"
    );
}
