"""What the daemons of daemons.py are configured by."""

SPAMD_RULES = """\
required_score 5.0
body TRAP_MARKER /spamtrap-test-marker-7d1f/
describe TRAP_MARKER what our tests put into mail
score TRAP_MARKER 6.5
header TRAP_SUBJECT Subject =~ /cheap pills/i
describe TRAP_SUBJECT the subject sells pills
score TRAP_SUBJECT 2.25
header TRAP_SEEN ALL =~ /\\S/
describe TRAP_SEEN it has a header
score TRAP_SEEN -0.5
clear_report_template
report Content analysis details:   (_SCORE_ points, _REQD_ required)
report " pts rule name              description"
report  ---- ---------------------- --------------------------------------------------
report _SUMMARY_
"""
"""What spamd runs by when nothing else is said: three rules, two milliseconds a message."""
STOCK_RULES = "/usr/share/spamassassin"
"""Those of the Debian package, some 50 to 100 ms a message."""

SPAMD_PLUGINS = ("Check", "BodyEval", "HeaderEval", "Bayes")
SPAMD_SQL = """\
bayes_store_module Mail::SpamAssassin::BayesStore::PgSQL
bayes_sql_dsn {dsn}
bayes_sql_username {user}
bayes_sql_override_username trap
bayes_min_spam_num 3
bayes_min_ham_num 3
bayes_auto_learn 0
user_scores_dsn {dsn}
user_scores_sql_username {user}
"""
BAYES_RULES = """\
body BAYES_00 eval:check_bayes('0.00', '0.40')
tflags BAYES_00 nice learn
score BAYES_00 -1.0
body BAYES_50 eval:check_bayes('0.40', '0.60')
tflags BAYES_50 learn
score BAYES_50 0.1
body BAYES_99 eval:check_bayes('0.60', '1.00')
tflags BAYES_99 learn
score BAYES_99 3.5
"""

RSPAMD = """\
options {{
  filters = "regexp{fuzzy_filter}";
  cache_file = "{home}/db/symbols.cache";
  history_file = "{home}/db/history";
  control_socket = "{home}/db/control mode=0600";
  pidfile = "{home}/pid";
  stats_file = "{home}/db/stats.ucl";
  hs_cache_dir = "{home}/db/";
  tempdir = "{home}/tmp";
  url_tld = "{home}/tlds";
  dns {{ nameserver = ["{dns}"]; timeout = 0.2s; retransmits = 1; }}
  task_timeout = 8s;
  local_addrs = [];
}}
logging {{ type = "console"; level = "notice"; color = false; }}
worker "normal" {{ bind_socket = "{loopback}:{port}"; bind_socket = "{home}/rspamd.sock mode=0666";
  count = 1; }}
worker "controller" {{ bind_socket = "{loopback}:{controller}"; count = 1; password = "{password}";
  secure_ip = ["127.0.0.1/32"]; }}
actions {{ reject = 15; "add header" = 6; greylist = 4; }}
group "trap" {{ symbols = {{ {fuzzy_symbol} }} }}
lua = "{home}/rules.lua";
{fuzzy}
{extra}
"""
RSPAMD_RULES = """\
config['regexp'] = {
  TRAP_MARKER = { re = '/spamtrap-test-marker-7d1f/{body}', score = 6.5,
    description = 'what our tests put into mail' },
  TRAP_SUBJECT = { re = 'Subject=/cheap pills/i', score = 2.25, description = 'the subject sells pills' },
  TRAP_SEEN = { re = '!Subject=/^$/', score = -0.5 },
}
"""
RSPAMD_FUZZY = """\
worker "fuzzy" {{ bind_socket = "{loopback}:{port}"; count = 1; backend = "redis"; servers = "{redis}";
  expire = 1d; allow_update = ["127.0.0.1"]; sync = 0.1s; }}
fuzzy_check {{ min_bytes = 10; timeout = 1s; retransmits = 1;
  rule "trap" {{ algorithm = "mumhash"; servers = "{loopback}:{port}"; symbol = "TRAP_FUZZY_OTHER";
    mime_types = ["*"]; max_score = 20.0; read_only = no; skip_unknown = yes; min_length = 1;
    short_text_direct_hash = true; fuzzy_map = {{ TRAP_FUZZY {{ max_score = 20.0; flag = 1; }} }} }} }}
"""
RSPAMD_PASSWORD = "kept-on-loopback"
"""Of its controller."""

CLAMD = """\
Foreground yes
DatabaseDirectory {home}/signatures
TemporaryDirectory {home}/tmp
LocalSocket {home}/clamd.sock
TCPAddr {loopback}
TCPSocket {port}
StreamMaxLength {limit}
Bytecode no
SelfCheck 0
MaxThreads 2
"""

UNBOUND = """\
server:
  interface: {loopback}@{port}
  access-control: 127.0.0.0/8 allow
  username: ""
  chroot: ""
  directory: "{home}"
  pidfile: ""
  use-syslog: no
  logfile: ""
  do-daemonize: no
  num-threads: 1
  do-ip6: no
  module-config: "iterator"
  local-zone: "." static
  local-data: ". 3600 NS names.invalid."
"""
