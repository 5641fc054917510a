//! What a template says is what traffic meets: rules, redirects, answers, stickiness, certificates and Classic load
//! balancers, before targets that say what they got.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;

use crate::certificates::handshake;
use crate::echo::Echo;
use crate::support::{PORTWAY, Portway, Scene, free_port, local};

const ADDRESS: &str = "127.0.0.1";

/// A running template, with two targets for each of its groups `A` and `B`.
struct Stack {
    scene: Scene,
    portway: Portway,
}

impl Stack {
    fn new(scene: Scene, template: &str, targets: &[(&str, &Echo)]) -> Self {
        scene.file("template.yaml", template);
        let mut arguments = vec!["template.yaml".to_owned()];
        for (group, target) in targets {
            arguments.push("--target".to_owned());
            arguments.push(format!("{group}={ADDRESS}:{}", target.port));
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let portway = scene.portway_with(&arguments);
        Self { scene, portway }
    }

    /// Head and body of an answer.
    fn ask(&self, port: u16, path: &str, arguments: &[&str]) -> String {
        let url = format!("http://{ADDRESS}:{port}{path}");
        let all = [&["-i", &url], arguments].concat();
        self.scene.curl(&all).good().replace("\r\n", "\n")
    }
}

fn value<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = answer.lines();
    lines.find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then_some(value)
    })
}

const RULES: &str = r"
Parameters: {Port: {Type: Number, Default: PORT}, Other: {Type: Number, Default: OTHER}}
Resources:
  Balancer:
    Type: AWS::ElasticLoadBalancingV2::LoadBalancer
    Properties:
      SecurityGroups: [!Ref Everybody]
      LoadBalancerAttributes:
        - {Key: routing.http.xff_client_port.enabled, Value: 'true'}
  Everybody:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: Everybody
      SecurityGroupIngress: {IpProtocol: '-1', CidrIp: 0.0.0.0/0}
  Web:
    Type: AWS::ElasticLoadBalancingV2::Listener
    Properties:
      LoadBalancerArn: !Ref Balancer
      Port: !Ref Port
      Protocol: HTTP
      ListenerAttributes:
        - {Key: routing.http.response.x_frame_options.header_value, Value: DENY}
      DefaultActions:
        - Type: fixed-response
          FixedResponseConfig: {StatusCode: '404', MessageBody: nothing here, ContentType: text/plain}
  Redirects:
    Type: AWS::ElasticLoadBalancingV2::Listener
    Properties:
      LoadBalancerArn: !Ref Balancer
      Port: !Ref Other
      Protocol: HTTP
      DefaultActions:
        - {Type: redirect, RedirectConfig: {Protocol: HTTPS, Port: '443', StatusCode: HTTP_301}}
  Moved:
    Type: AWS::ElasticLoadBalancingV2::ListenerRule
    Properties:
      ListenerArn: !Ref Redirects
      Priority: 1
      Conditions: [{Field: path-pattern, Values: [/old/*]}]
      Actions:
        - Type: redirect
          RedirectConfig: {Host: 'new.#{host}', Path: '/new/#{path}', Query: 'from=#{query}', StatusCode: HTTP_302}
  Kept:
    Type: AWS::ElasticLoadBalancingV2::ListenerRule
    Properties:
      ListenerArn: !Ref Web
      Priority: 10
      Conditions: [{Field: path-pattern, Values: [/kept*]}]
      Actions: [{Type: forward, TargetGroupArn: !Ref A}]
  Either:
    Type: AWS::ElasticLoadBalancingV2::ListenerRule
    Properties:
      ListenerArn: !Ref Web
      Priority: 12
      Conditions: [{Field: path-pattern, Values: [/either]}]
      Actions:
        - Type: forward
          ForwardConfig:
            TargetGroups: [{TargetGroupArn: !Ref A, Weight: 1}, {TargetGroupArn: !Ref B, Weight: 1}]
            TargetGroupStickinessConfig: {Enabled: true, DurationSeconds: 60}
  App:
    Type: AWS::ElasticLoadBalancingV2::ListenerRule
    Properties:
      ListenerArn: !Ref Web
      Priority: 11
      Conditions: [{Field: path-pattern, Values: [/header/*, /app]}]
      Actions: [{Type: forward, TargetGroupArn: !Ref B}]
  Beta:
    Type: AWS::ElasticLoadBalancingV2::ListenerRule
    Properties:
      ListenerArn: !Ref Web
      Priority: 5
      Conditions:
        - {Field: http-header, HttpHeaderConfig: {HttpHeaderName: X-Team, Values: ['BLUE*']}}
        - {Field: query-string, QueryStringConfig: {Values: [{Key: version, Value: '2.?'}]}}
        - {Field: http-request-method, HttpRequestMethodConfig: {Values: [GET]}}
        - {Field: host-header, Values: ['*.example.com']}
      Transforms:
        - {Type: url-rewrite, UrlRewriteConfig: {Rewrites: [{Regex: '^/kept/(.*)$', Replace: '/beta/$1'}]}}
      Actions:
        - Type: forward
          ForwardConfig: {TargetGroups: [{TargetGroupArn: !Ref B, Weight: 1}, {TargetGroupArn: !Ref A, Weight: 0}]}
  A:
    Type: AWS::ElasticLoadBalancingV2::TargetGroup
    Properties:
      Protocol: HTTP
      Port: 80
      HealthCheckPath: /status/204
      Matcher: {HttpCode: '204'}
      TargetGroupAttributes: [{Key: stickiness.enabled, Value: true}, {Key: stickiness.type, Value: lb_cookie}]
  B:
    Type: AWS::ElasticLoadBalancingV2::TargetGroup
    Properties:
      Protocol: HTTP
      Port: 80
      TargetGroupAttributes:
        - {Key: stickiness.enabled, Value: true}
        - {Key: stickiness.type, Value: app_cookie}
        - {Key: stickiness.app_cookie.cookie_name, Value: SESSION}
";

#[test]
fn rules_of_an_application_load_balancer() {
    let [port, other] = [(); 2].map(|()| free_port());
    let template = RULES
        .replace("PORT", &port.to_string())
        .replace("OTHER", &other.to_string());
    let echoes = ["a1", "a2", "b1", "b2"].map(Echo::start);
    let [a1, a2, b1, b2] = &echoes;
    let targets = [("A", a1), ("A", a2), ("B", b1), ("B", b2)];
    let stack = Stack::new(Scene::new(), &template, &targets);
    for (group, target) in targets {
        stack
            .portway
            .wait_for_health(group, local(target.port), "healthy");
    }

    let answer = stack.ask(port, "/", &[]);
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    assert!(answer.ends_with("\n\nnothing here"), "{answer}");

    let beta = ["-H", "Host: a.example.com", "-H", "X-Team: blue-1"];
    let answer = stack.ask(port, "/kept/x?a=1&VERSION=2.0", &beta);
    assert!(
        value(&answer, "x-server").unwrap().starts_with('b'),
        "{answer}"
    );
    assert!(
        answer.contains("\nGET /beta/x?a=1&VERSION=2.0 HTTP/1.1\n"),
        "{answer}"
    );
    for (path, more) in [
        ("/kept/x?version=2.10", &[][..]),
        ("/kept/x?version=2.0", &["-X", "DELETE"]),
        ("/kept/x?version=2.0", &["-H", "X-Team: red"]),
    ] {
        let all = [&["-H", "Host: a.example.com"], &beta[2..], more].concat();
        let all: Vec<&str> = match more.contains(&"X-Team: red") {
            true => [&["-H", "Host: a.example.com"], more].concat(),
            false => all,
        };
        let answer = stack.ask(port, path, &all);
        assert!(
            value(&answer, "x-server").unwrap().starts_with('a'),
            "{answer}"
        );
    }
    sticky(&stack, port);
    sticky_groups(&stack, port);
    let addresses =
        |count: usize| format!("X-Forwarded-For: {}", vec!["192.0.2.1"; count].join(", "));
    let (thirty, more) = (addresses(30), addresses(31));
    for (arguments, status) in [
        (["-X", "TRACE"], "405"),
        (["-H", &more], "463"),
        (["-H", &thirty], "200"),
    ] {
        let answer = stack.ask(port, "/kept", &arguments);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }

    let moved = |path: &str, more: &[&str]| {
        let answer = stack.ask(other, path, more);
        let status = answer.lines().next().unwrap_or_default();
        let status = status.split(' ').nth(1).unwrap_or_default().to_owned();
        (status, value(&answer, "location").unwrap().to_owned())
    };
    let host = ["-H", "Host: www.example.com:99"];
    for (path, status, location) in [
        (
            "/a?b=c",
            "301",
            "https://www.example.com:443/a?b=c".to_owned(),
        ),
        (
            "/old/x?y",
            "302",
            format!("http://new.www.example.com:{other}/new/old/x?from=y"),
        ),
    ] {
        assert_eq!(moved(path, &host), (status.to_owned(), location));
    }
    stack.portway.stop();
}

/// By cookies of the load balancer, and by one of the application.
fn sticky(stack: &Stack, port: u16) {
    let answer = stack.ask(port, "/kept", &[]);
    let set: Vec<&str> = answer
        .lines()
        .filter_map(|line| {
            line.strip_prefix("Set-Cookie: ")
                .or(line.strip_prefix("set-cookie: "))
        })
        .collect();
    assert_eq!(set.len(), 2, "{answer}");
    // Seven days, as a date.
    assert!(
        set[0].starts_with("AWSALB=") && set[0].contains("; Expires="),
        "{answer}"
    );
    assert!(!set[0].contains("Max-Age"), "{answer}");
    assert!(set[1].starts_with("AWSALBCORS="), "{answer}");
    assert!(set[1].contains("Secure; SameSite=None"), "{answer}");
    assert_eq!(value(&answer, "x-frame-options"), Some("DENY"), "{answer}");
    let served = value(&answer, "x-server").unwrap();
    for set in set {
        let cookie = set.split(';').next().unwrap();
        for _ in 0..4 {
            let again = stack.ask(port, "/kept", &["-H", &format!("Cookie: {cookie}")]);
            assert_eq!(value(&again, "x-server"), Some(served), "{again}");
        }
    }
    // The client's port goes along.
    let told = value(&answer, "x-forwarded-for").unwrap();
    assert!(told.parse::<SocketAddr>().is_ok(), "{told}");

    for session in ["one", "two", "three"] {
        let answer = stack.ask(
            port,
            &format!("/header/Set-Cookie/SESSION%3D{session}"),
            &[],
        );
        let served = value(&answer, "x-server").unwrap().to_owned();
        let cookie = format!("Cookie: SESSION={session}");
        for _ in 0..4 {
            let again = stack.ask(port, "/app", &["-H", &cookie]);
            assert_eq!(value(&again, "x-server"), Some(served.as_str()), "{again}");
        }
    }
}

/// A client stays with the target group that it was sent to first.
fn sticky_groups(stack: &Stack, port: u16) {
    let group = |answer: &str| value(answer, "x-server").unwrap().chars().next().unwrap();
    let mut seen = Vec::new();
    for _ in 0..100 {
        let answer = stack.ask(port, "/either", &[]);
        let first = group(&answer);
        if seen.contains(&first) {
            continue;
        }
        seen.push(first);
        assert!(answer.contains("; Expires="), "{answer}");
        let set = |name: &str| {
            let mut lines = answer.lines();
            let line = lines
                .find_map(|line| Some(line.split_once(": ")?.1).filter(|it| it.starts_with(name)));
            line.unwrap_or_else(|| panic!("{answer}"))
                .split(';')
                .next()
                .unwrap()
                .to_owned()
        };
        for cookie in [set("AWSALBTG="), set("AWSALBTGCORS=")] {
            for _ in 0..6 {
                let again = stack.ask(port, "/either", &["-H", &format!("Cookie: {cookie}")]);
                assert_eq!(group(&again), first, "{again}");
            }
        }
        if seen.len() == 2 {
            return;
        }
    }
    panic!("only {seen:?} was drawn");
}

/// A Classic load balancer with a certificate whose text stands in the template, and a listener of bytes.
#[test]
fn a_classic_load_balancer() {
    let scene = Scene::new();
    let out = ["--out-cert", "flow.crt", "--out-key", "flow.key"];
    let all = [&["cert", "self-signed", "flow.example"], &out[..]].concat();
    scene.run(PORTWAY, &all).good();
    let pem = |file: &str| {
        let text = scene.read(file);
        text.lines()
            .map(|line| format!("        {line}\n"))
            .collect::<String>()
    };
    let target = Echo::start("flow");
    let [https, tcp] = [(); 2].map(|()| free_port());
    let template = format!(
        "Resources:
  Certificate:
    Type: AWS::IAM::ServerCertificate
    Properties:
      CertificateBody: |
{}      PrivateKey: |
{}  Flow:
    Type: AWS::ElasticLoadBalancing::LoadBalancer
    Properties:
      Instances: [127.0.0.1]
      Listeners:
        - {{LoadBalancerPort: '{https}', Protocol: HTTPS, InstancePort: '{port}', SSLCertificateId: !GetAtt Certificate.Arn, PolicyNames: [kept]}}
        - {{LoadBalancerPort: '{tcp}', Protocol: TCP, InstancePort: '{port}'}}
      LBCookieStickinessPolicy: {{PolicyName: kept, CookieExpirationPeriod: '60'}}
      HealthCheck: {{Target: 'TCP:{port}', Interval: '5', Timeout: '2', HealthyThreshold: '2', UnhealthyThreshold: '2'}}
",
        pem("flow.crt"),
        pem("flow.key"),
        port = target.port,
    );
    let stack = Stack::new(scene, &template, &[]);
    let shown = handshake(&stack.scene, https, &["-servername", "flow.example"]);
    assert!(
        shown.contains(stack.scene.read("flow.crt").trim()),
        "{shown}"
    );
    let resolve = format!("flow.example:{https}:127.0.0.1");
    let url = format!("https://flow.example:{https}/");
    let all = ["-i", "--cacert", "flow.crt", "--resolve", &resolve, &url];
    let answer = stack.scene.curl(&all).good().replace("\r\n", "\n");
    assert_eq!(
        value(&answer, "x-forwarded-proto"),
        Some("https"),
        "{answer}"
    );
    assert!(
        value(&answer, "set-cookie").unwrap().starts_with("AWSELB="),
        "{answer}"
    );
    assert!(answer.contains("AWSELBCORS="), "{answer}");
    // Bytes pass as they are.
    let answer = stack.ask(tcp, "/", &[]);
    assert_eq!(value(&answer, "x-forwarded-proto"), None, "{answer}");
    assert_eq!(value(&answer, "x-server"), Some("flow"), "{answer}");
    stack.portway.stop();
}

/// Servers of a haproxy.cfg come while a template runs beside it, which is read again with what was given for it.
#[test]
fn servers_come_beside_a_template() {
    let scene = Scene::new();
    let (a, b) = (Echo::start("a"), Echo::start("b"));
    let [port, of_template] = [(); 2].map(|()| free_port());
    let socket = scene.path("ctl.sock");
    scene.file(
        "web.cfg",
        format!(
            "global
  stats socket {socket} level admin
defaults
  mode http
  timeout client 10s
  timeout server 10s
  timeout connect 2s
frontend f
  bind 127.0.0.1:{port}
  default_backend be
backend be
  balance roundrobin
  server a 127.0.0.1:{a}
",
            socket = socket.display(),
            a = a.port
        ),
    );
    scene.file(
        "template.json",
        r#"{"Resources": {
  "Balancer": {"Type": "AWS::ElasticLoadBalancingV2::LoadBalancer", "Properties": {"Name": "{{ name }}"}},
  "Web": {"Type": "AWS::ElasticLoadBalancingV2::Listener", "Properties": {
    "LoadBalancerArn": {"Ref": "Balancer"}, "Port": "{{ port }}", "Protocol": "HTTP",
    "DefaultActions": [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "204"}}]}}
}}"#,
    );
    let set = format!("port={of_template}");
    let arguments = ["web.cfg", "template.json", "--set", &set, "--set", "name=x"];
    let stack = Stack {
        portway: scene.portway_with(&arguments),
        scene,
    };
    let command = |line: &str| {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(format!("{line}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let added = command(&format!("add server be/b 127.0.0.1:{}", b.port));
    assert!(added.contains("New server registered."), "{added}");
    command("enable server be/b");
    let served: BTreeSet<String> = (0..4)
        .map(|_| {
            value(&stack.ask(port, "/", &[]), "x-server")
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(served, BTreeSet::from(["a".to_owned(), "b".to_owned()]));
    let answer = stack.ask(of_template, "/", &[]);
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    stack.portway.stop();
}
