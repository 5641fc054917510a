//! The keywords of `defaults`, `frontend`, `listen` and `backend`.

use super::State::{Except, NoEffect, NotYet, Old, Refused, Supported};
use super::{Row, State, rows};

const DENY: State = Old("http-request deny");
const MAIL: State = Refused("mail is not sent: watch the metrics, the statistics or the log");
const SPLICE: State = NoEffect(
    "bulk between two sides in clear is spliced by itself; `nosplice` in `global` turns that off",
);

/// Places: `d` defaults, `n` named defaults only, `f` frontend, `l` listen, `b` backend; `!`: an error elsewhere, not a warning.
pub(super) const KEYWORDS: &[Row] = rows! {
    "acl" @ "nflb" => Supported;
    "appsession" @ "dlb!" =>
        Refused("HAProxy has not known it since 1.6: `cookie NAME prefix` keeps clients by the application\'s own cookie");
    "backlog" @ "dfl" => Supported;
    "balance" @ "dlb" =>
        Except("`hash` of numbers and addresses: their text counts, so that clients come to other servers than in HAProxy");
    "bind" @ "fl" => Supported;
    "bind-process" @ "dflb" => NoEffect("there is one process; HAProxy 2.6 says the same");
    "block" @ "flb" => DENY;
    "capture cookie" @ "fl" => Supported;
    "capture request" @ "fl" => Supported;
    "capture response" @ "fl" => Supported;
    "clitcpka-cnt" @ "dfl" => Supported;
    "clitcpka-idle" @ "dfl" => Supported;
    "clitcpka-intvl" @ "dfl" => Supported;
    "clitimeout" @ "dflb" => Old("timeout client");
    "compression algo" @ "dflb" => Supported;
    "compression offload" @ "dflb" => Supported;
    "compression type" @ "dflb" => Supported;
    "contimeout" @ "dflb" => Old("timeout connect");
    "cookie" @ "dlb" => Supported;
    "declare capture" @ "fl!" => Supported;
    "default-server" @ "dlb!" => Supported;
    "default_backend" @ "dfl" => Supported;
    "description" @ "flb" => NoEffect("the page of statistics shows names only");
    "disabled" @ "dflb" => Supported;
    "dispatch" @ "lb" => Supported;
    "dynamic-cookie-key" @ "dlb" => Supported;
    "email-alert from" @ "dflb" => MAIL;
    "email-alert level" @ "dflb" => MAIL;
    "email-alert mailers" @ "dflb" => MAIL;
    "email-alert myhostname" @ "dflb" => MAIL;
    "email-alert to" @ "dflb" => MAIL;
    "enabled" @ "dflb" => Supported;
    "error-log-format" @ "dfl" => Supported;
    "errorfile" @ "dflb" => Supported;
    "errorfiles" @ "dflb" => Supported;
    "errorloc" @ "dflb" => Supported;
    "errorloc302" @ "dflb" => Supported;
    "errorloc303" @ "dflb" => Supported;
    "external-check command" @ "dlb" => NotYet;
    "external-check path" @ "dlb" => NotYet;
    "filter cache" @ "flb" => NoEffect("responses are not kept: every request goes to a server");
    "filter compression" @ "flb" => Supported;
    "filter fcgi-app" @ "flb" => Refused("FastCGI is not spoken: put a web server before the application");
    "filter opentracing" @ "flb" =>
        Refused("OpenTracing has ended; requests are followed by their ids and headers");
    "filter spoe" @ "flb" =>
        Refused("SPOE agents are not spoken to: no traffic is handed to programs beside the proxy");
    "filter trace" @ "flb" => NoEffect("it shows HAProxy's own filters at work");
    "force-persist" @ "lb" => Supported;
    "fullconn" @ "dlb" => Supported;
    "grace" @ "dflb" => Refused("HAProxy has not known it since 2.5: listeners stop at once");
    "hash-balance-factor" @ "dlb" => Supported;
    "hash-type" @ "dlb" => Supported;
    "http-after-response" @ "nflb" => Supported;
    "http-check comment" @ "dlb" => Supported;
    "http-check connect" @ "dlb" => Except("`proto`, `via-socks4`, a computed `port`");
    "http-check disable-on-404" @ "dlb" => Supported;
    "http-check expect" @ "dlb" => Supported;
    "http-check send" @ "dlb" => Supported;
    "http-check send-state" @ "dlb" => Supported;
    "http-check set-var" @ "dlb" => Except("variables that do not begin with `check.`");
    "http-check set-var-fmt" @ "dlb" => Except("variables that do not begin with `check.`");
    "http-check unset-var" @ "dlb" => Except("variables that do not begin with `check.`");
    "http-error" @ "dflb" => Except("`default-errorfiles` with headers");
    "http-request" @ "nflb" => Supported;
    "http-response" @ "nflb" => Supported;
    "http-reuse" @ "dlb" => Supported;
    "http-send-name-header" @ "dlb" => Supported;
    "id" @ "flb" => Supported;
    "ignore-persist" @ "lb" => Supported;
    "load-server-state-from-file" @ "dlb" =>
        NoEffect("a new process knows of servers what the configuration says and its checks find");
    "log" @ "dflb" => Supported;
    "log-format" @ "dfl" => Supported;
    "log-format-sd" @ "dfl" => Supported;
    "log-tag" @ "dflb" => Supported;
    "max-keep-alive-queue" @ "dlb" =>
        NoEffect("a request takes an idle connection or opens one, whatever the queue");
    "max-session-srv-conns" @ "dfl" =>
        NoEffect("only with `http-reuse never` a client keeps connections to itself, five at most");
    "maxconn" @ "dfl" => Supported;
    "mode" @ "dflb" => Supported;
    "monitor fail" @ "fl" => Supported;
    "monitor-net" @ "dflb" => Old("http-request return status 200 if { src ADDRESS }");
    "monitor-uri" @ "dfl" => Supported;
    "option abortonclose" @ "dlb" => Supported;
    "option accept-invalid-http-request" @ "dfl" =>
        NoEffect("unclear requests are refused whatever this says");
    "option accept-invalid-http-response" @ "dlb" =>
        NoEffect("unclear responses are refused whatever this says");
    "option allbackups" @ "dlb" => Supported;
    "option checkcache" @ "dlb" => Supported;
    "option clitcpka" @ "dfl" => Supported;
    "option contstats" @ "dfl" => NoEffect("bytes are counted as they go in any case");
    "option disable-h2-upgrade" @ "dfl" => Supported;
    "option dontlog-normal" @ "dfl" => Supported;
    "option dontlognull" @ "dfl" => Supported;
    "option external-check" @ "dlb" => NotYet;
    "option forceclose" @ "dflb" => Old("option httpclose");
    "option forwardfor" @ "dflb" => Supported;
    "option h1-case-adjust-bogus-client" @ "dfl" =>
        NoEffect("the names of headers are sent on as they came");
    "option h1-case-adjust-bogus-server" @ "dlb" =>
        NoEffect("the names of headers are sent on as they came");
    "option http-buffer-request" @ "dflb" => Supported;
    "option http-ignore-probes" @ "dfl" => Supported;
    "option http-keep-alive" @ "dflb" => Supported;
    "option http-no-delay" @ "dflb" => NoEffect("data is sent on as it comes in any case");
    "option http-pretend-keepalive" @ "dlb" => NoEffect("servers are told the truth about their connection");
    "option http-restrict-req-hdr-names" @ "dflb" => Supported;
    "option http-server-close" @ "dflb" => Supported;
    "option http-tunnel" @ "dflb" => Old("option http-keep-alive");
    "option http-use-proxy-header" @ "dfl" => NotYet;
    "option http_proxy" @ "dflb" =>
        Refused("it sent requests to whatever address they named; HAProxy has not had it since 2.5");
    "option httpchk" @ "dlb" => Supported;
    "option httpclose" @ "dflb" => Supported;
    "option httplog" @ "dfl" => Supported;
    "option httpslog" @ "dfl" => Supported;
    "option idle-close-on-response" @ "dfl" =>
        NoEffect("idle connections are kept until clients have had their time on a stop");
    "option independant-streams" @ "dflb" => Old("option independent-streams");
    "option independent-streams" @ "dflb" => NoEffect("each direction has its own time in any case");
    "option ldap-check" @ "dlb" => Supported;
    "option log-health-checks" @ "dlb" => Supported;
    "option log-separate-errors" @ "dfl" => Supported;
    "option logasap" @ "dfl" => Supported;
    "option mysql-check" @ "dlb" => Supported;
    "option nolinger" @ "dflb" => NoEffect("connections are closed as TCP asks for");
    "option originalto" @ "dflb" => Supported;
    "option persist" @ "dlb" => Supported;
    "option pgsql-check" @ "dlb" => Supported;
    "option prefer-last-server" @ "dlb" => NoEffect("each request of a connection is balanced for itself; what keeps a client with a server is a cookie");
    "option redis-check" @ "dlb" => Supported;
    "option redispatch" @ "dlb" => Supported;
    "option smtpchk" @ "dlb" => Supported;
    "option socket-stats" @ "dfl" => NoEffect("statistics are kept for frontends, not for each bind");
    "option splice-auto" @ "dflb" => SPLICE;
    "option splice-request" @ "dflb" => SPLICE;
    "option splice-response" @ "dflb" => SPLICE;
    "option spop-check" @ "dlb" =>
        Refused("SPOE agents are not spoken to: no traffic is handed to programs beside the proxy");
    "option srvtcpka" @ "dlb" => Supported;
    "option ssl-hello-chk" @ "dlb" => Supported;
    "option tcp-check" @ "dlb" => Supported;
    "option tcp-smart-accept" @ "dfl" => NoEffect("how packets are acknowledged is left to the system");
    "option tcp-smart-connect" @ "dlb" => NoEffect("how packets are acknowledged is left to the system");
    "option tcpka" @ "dflb" => Supported;
    "option tcplog" @ "dfl" => Supported;
    "option transparent" @ "dlb" => Supported;
    "persist rdp-cookie" @ "dlb" => Except("servers without an IPv4 address of their own");
    "rate-limit sessions" @ "dfl" => Supported;
    "redirect" @ "flb" => Supported;
    "redispatch" @ "dflb" => Old("option redispatch");
    "reqadd" @ "dflb" => Old("http-request add-header");
    "reqallow" @ "dflb" => Old("http-request allow");
    "reqdel" @ "dflb" => Old("http-request del-header");
    "reqdeny" @ "dflb" => DENY;
    "reqiallow" @ "dflb" => Old("http-request allow");
    "reqidel" @ "dflb" => Old("http-request del-header");
    "reqideny" @ "dflb" => DENY;
    "reqipass" @ "dflb" => NotYet;
    "reqirep" @ "dflb" => Old("http-request replace-header");
    "reqitarpit" @ "dflb" => Old("http-request tarpit");
    "reqpass" @ "dflb" => NotYet;
    "reqrep" @ "dflb" => Old("http-request replace-header");
    "reqtarpit" @ "dflb" => Old("http-request tarpit");
    "retries" @ "dlb" => Supported;
    "retry-on" @ "dlb!" =>
        Except("requests with a body, but where no connection came about: HAProxy makes those again whose body came with their head");
    "rspadd" @ "dflb" => Old("http-response add-header");
    "rspdel" @ "dflb" => Old("http-response del-header");
    "rspdeny" @ "dflb" => Old("http-response deny");
    "rspidel" @ "dflb" => Old("http-response del-header");
    "rspideny" @ "dflb" => Old("http-response deny");
    "rspirep" @ "dflb" => Old("http-response replace-header");
    "rsprep" @ "dflb" => Old("http-response replace-header");
    "server" @ "lb!" => Except("an address without a port, a port with `+` or `-`");
    "server-state-file-name" @ "dlb" =>
        NoEffect("a new process knows of servers what the configuration says and its checks find");
    "server-template" @ "lb!" => Supported;
    "source" @ "dlb" => Supported;
    "srvtcpka-cnt" @ "dlb" => Supported;
    "srvtcpka-idle" @ "dlb" => Supported;
    "srvtcpka-intvl" @ "dlb" => Supported;
    "srvtimeout" @ "dflb" => Old("timeout server");
    "stats admin" @ "flb" => Supported;
    "stats auth" @ "dflb" => Supported;
    "stats enable" @ "dflb" => Supported;
    "stats hide-version" @ "dflb" => Supported;
    "stats http-request" @ "flb" => Supported;
    "stats realm" @ "dflb" => Supported;
    "stats refresh" @ "dflb" => Supported;
    "stats scope" @ "dflb" => Supported;
    "stats show-desc" @ "dflb" => Supported;
    "stats show-legends" @ "dflb" => Supported;
    "stats show-modules" @ "dflb" => Supported;
    "stats show-node" @ "dflb" => Supported;
    "stats uri" @ "dflb" => Supported;
    "stick match" @ "lb" => Supported;
    "stick on" @ "lb" => Supported;
    "stick store-request" @ "lb" => Supported;
    "stick store-response" @ "lb" => Supported;
    "stick-table" @ "flb" => Supported;
    "tcp-check comment" @ "dlb" => Supported;
    "tcp-check connect" @ "dlb" => Except("`proto`, `via-socks4`, a computed `port`");
    "tcp-check expect" @ "dlb" => Supported;
    "tcp-check send" @ "dlb" => Supported;
    "tcp-check send-binary" @ "dlb" => Supported;
    "tcp-check send-binary-lf" @ "dlb" => Supported;
    "tcp-check send-lf" @ "dlb" => Supported;
    "tcp-check set-var" @ "dlb" => Except("variables that do not begin with `check.`");
    "tcp-check set-var-fmt" @ "dlb" => Except("variables that do not begin with `check.`");
    "tcp-check unset-var" @ "dlb" => Except("variables that do not begin with `check.`");
    "tcp-request connection" @ "nfl!" => Supported;
    "tcp-request content" @ "nflb" => Supported;
    "tcp-request inspect-delay" @ "nflb" => Supported;
    "tcp-request session" @ "nfl!" => Supported;
    "tcp-response content" @ "nlb!" => Supported;
    "tcp-response inspect-delay" @ "nlb!" => Supported;
    "timeout check" @ "dlb" => Supported;
    "timeout client" @ "dfl" => Supported;
    "timeout client-fin" @ "dfl" => Supported;
    "timeout connect" @ "dlb" => Supported;
    "timeout http-keep-alive" @ "dflb" => Supported;
    "timeout http-request" @ "dflb" => Supported;
    "timeout queue" @ "dlb" => Supported;
    "timeout server" @ "dlb" => Supported;
    "timeout server-fin" @ "dlb" => Supported;
    "timeout tarpit" @ "dflb" => Supported;
    "timeout tunnel" @ "dlb" => Supported;
    "transparent" @ "dflb" => Old("option transparent");
    "unique-id-format" @ "dflb" => Supported;
    "unique-id-header" @ "dflb" => Supported;
    "use-fcgi-app" @ "lb!" => Refused("FastCGI is not spoken: put a web server before the application");
    "use-server" @ "lb!" => Supported;
    "use_backend" @ "fl" =>
        Except("bytes that only its own condition asks for, in `mode tcp`: they are waited for until the `inspect-delay` is over");
};
