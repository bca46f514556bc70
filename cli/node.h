/* What the subcommands that run a node share: options, key, host, topics, the texts of its events. */
#ifndef CLI_NODE_H
#define CLI_NODE_H
#include "cli/log.h"
#include "cli/http_routing.h"
#include "cli/loop.h"
#include "cli/options.h"
#include "cli/router.h"

/* X(member of msub_host_opts, option, help): how many connections. */
#define NODE_LIMITS(X)                                                                                            \
  X(max_inbound, "--max-inbound", "Connections that came in. Default 128.")                                       \
  X(max_outbound, "--max-outbound", "Connections that were dialled. Default 32.")                                 \
  X(max_per_ip, "--max-per-ip", "Of these from one address (IPv6: one /64). Default 8.")                          \
  X(max_per_net, "--max-per-net", "From one /24 (IPv6: one /48). Default 32.")                                    \
  X(low_water, "--low-water", "How many are left when there were too many. Default 112.")                         \
  X(high_water, "--high-water", "With more, the least valuable are closed; 0: none. Default 144.")                \
  X(min_peers, "--min-peers", "With fewer, known peers are dialled. Default 0.")
typedef struct node_limits {
#define X(member, option, help) uint64_t member; bool member##_given;
  NODE_LIMITS(X)
#undef X
} node_limits;

/* Names (ipns_node.h). */
typedef struct names_options {
  bool on, keep_open;
  text_list follow, keep;
  routing_options http;
} names_options;

typedef struct node node;
struct node {
  const command *cmd;
  /* options */
  text_list listen, connect;
  const char *key_file;
  const char *sign_name, *transport;
  msub_sign_policy sign; /* of sign_name and anonymous, by node_check */
  bool anonymous, json, topic_counts;
  unsigned verbose;
  log_rules log;    /* the level is that of verbose, unless log_given */
  bool log_given, log_changes; /* log_changes: rules may change, or clients of the socket ask for lines */
  router_options router;
  node_limits limits;
  uint64_t max_memory; bool max_memory_given; /* MiB; 0: no limit */
  text_list relay, allow; /* topics */
  text_list filter;       /* of addresses */
  text_list discover, rendezvous;
  bool rendezvous_point;
  const char *dns_server;
  bool mdns;
  const char *pattern_text;
  msub_topic_pattern *pattern;
  /* what runs */
  msub_key *key;
  msub_host *host;
  const char **names; /* of the topics */
  msub_topic *topics, *relayed; /* relayed: by their place in relay */
  size_t n_topics;
  int stop_fd;
  bool broken; /* stdout cannot be written */
  outlet *out, *err; /* of a node that serves others and must not wait for who reads its stdout and stderr. NULL: of one that is there to print; it waits */
  size_t dials, dials_failed;
  struct local *local; /* local.h; NULL: no socket */
  const char *store_path;
  bool store_or_memory;
  struct node_store *store;   /* store.h; NULL: none */
  msub_store kept;            /* what it keeps things in; ops NULL: none */
  struct keyring *keys;       /* keyring.h: those of the store; NULL: none */
  struct msub_numbers *numbers; /* author.h: sequence numbers of messages, in the store; NULL: none */
  uint64_t number;              /* the last one */
  struct rendezvous *meeting; /* rendezvous.h; NULL: none */
  names_options names_on;
  struct ipns *ipns;          /* ipns_node.h; NULL: no names */
  struct waiter *waiters;     /* ipns_wait.h */
  void *ud;
  /* what the subcommand hears; may be NULL */
  bool (*on_message)(node *n, size_t topic, const msub_msg *m, msub_bytes from);
  void (*on_event)(node *n, const msub_host_event *ev);
  void (*on_result)(node *n, int err, uint32_t recipients);
  void (*on_trace)(node *n, const msub_event *ev);
  void (*on_name)(node *n, json_t *j); /* a better record is there, as ipns_json() has it; lent */
  void (*on_answer)(node *n, json_t *out, const char *why, const char *code); /* of a question without a socket; takes the reference */
  int (*on_host)(node *n); /* it is there, and has done nothing yet: -1, or an exit code */
};

/* output_<name>_total, of a node with outlets. */
#define OUTPUT_COUNTS(X) X(stdout_dropped) X(stderr_dropped)
void node_output_metrics(const node *n, const msub_metrics_opts *o);

/* Rows of an option table. `n` is a node *. */
/* clang-format off */
#define NODE_OPTIONS(n)                                                                                      \
  { "--connect", 0, OPT_LIST, "ADDR", "Connect to this node: /ip4/HOST/tcp/PORT, with /p2p/ID to\n"          \
    "insist on its identity. Repeatable.", &(n)->connect, 0, 0, NULL },                                      \
  { "--listen", 0, OPT_LIST, "ADDR", "Listen there: /ip4/HOST/tcp/PORT (port 0: any free one).\n"            \
    "Repeatable.", &(n)->listen, 0, 0, NULL },                                                               \
  { "--dns-server", 0, OPT_TEXT, "IP:PORT", "Look up the names of /dns, /dns4, /dns6 and /dnsaddr addresses\n"  \
    "there and nowhere else. Default: as the system does.", &(n)->dns_server, 0, 0, NULL },                   \
  { "--discover", 0, OPT_LIST, "ADDR", "Find peers there when a topic has too few: /dnsaddr/NAME, or an\n"         \
    "address with /p2p/ID. Repeatable.", &(n)->discover, 0, 0, NULL },                                        \
  { "--mdns", 0, OPT_FLAG, NULL, "Find peers on the local network, and be found there (multicast\n"              \
    "DNS), when a topic has too few.", &(n)->mdns, 0, 0, NULL },                                              \
  { "--filter", 0, OPT_LIST, "RULE", "Which addresses are dialled and accepted: \"deny accept\n"              \
    "192.0.2.0/24\"; allow or deny, then dial or accept or neither for\n"                                     \
    "both, then a range. Repeatable; the first that matches decides.", &(n)->filter, 0, 0, NULL },            \
  ROUTER_OPTIONS(&(n)->router),                                                                              \
  { "--transport", 0, OPT_TEXT, "NAME", "What carries the bytes: epoll (default on Linux) or nng.",             \
    &(n)->transport, 0, 0, NULL },                                                                           \
  { "--key", 0, OPT_TEXT, "FILE", "Identity, made by \"meshsub key new\". Default: a fresh one.",            \
    &(n)->key_file, 0, 0, NULL },                                                                            \
  { "--unsigned", 0, OPT_FLAG, NULL, "Anonymous messages: no author, no sequence number, no\n"               \
    "signature; the id is the SHA-256 of the data. All nodes of a\n"                                         \
    "topic must agree on it.", &(n)->anonymous, 0, 0, NULL },                                                \
  { "--sign", 0, OPT_TEXT, "POLICY", "Who signs: strict_sign (default), strict_no_sign (the same\n"          \
    "as --unsigned), or, for networks that run it already,\n"                                                \
    "strict_no_sign_author, lax_sign or lax_no_sign.", &(n)->sign_name, 0, 0, NULL },                        \
  { "--json", 0, OPT_FLAG, NULL, "One JSON object a line.", &(n)->json, 0, 0, NULL },                        \
  { "--verbose", 'v', OPT_COUNT, NULL, "Log on stderr; repeat for more (-vvv).", &(n)->verbose, 0, 0, NULL }
/* clang-format on */

/* Of the subcommands that run a node. */
/* clang-format off */
#define NAMES_OPTIONS(n)                                                                                     \
  { "--follow", 0, OPT_LIST, "NAME", "Follow this IPNS name, from now on and after each start.\n"           \
    "Repeatable.", &(n)->names_on.follow, 0, 0, NULL },                                                      \
  { "--keep", 0, OPT_LIST, "NAME", "Keep this IPNS name alive: serve what is known of it, whoever is\n"     \
    "gone. From now on and after each start. Repeatable.", &(n)->names_on.keep, 0, 0, NULL },                \
  { "--keep-open", 0, OPT_FLAG, NULL, "Keep any IPNS name that a peer has a valid record of, within\n"      \
    "quotas for each peer.", &(n)->names_on.keep_open, 0, 0, NULL },                                         \
  { "--routing", 0, OPT_TEXT, "IP:PORT", "Serve IPNS names over HTTP there: GET and PUT of\n"               \
    "/routing/v1/ipns/NAME. On loopback, unless\n--routing-open-to-network.", &(n)->names_on.http.listen, 0, 0, NULL }, \
  { "--routing-open-to-network", 0, OPT_FLAG, NULL, "Let --routing be reached from other machines, by anybody.", \
    &(n)->names_on.http.open_to_network, 0, 0, NULL }
/* clang-format on */

/* Reads a key file. -1 and *out, or an exit code with the error said. `option`: "--key " or "". */
int key_read(const char *program, const char *option, const char *file, msub_key **out);
/* Checks addresses, topics and the router's options before anything is begun. -1, or EXIT_USAGE. */
int node_check(node *n, const text_list *topics);
/* Key, host, filter, listening, topics: joined, or (publish_only) opened; those of n->relay relayed. -1, or an exit code. */
int node_open(node *n, const text_list *topics, bool publish_only);
/* The topics and relays are these from now on: what is new is joined, what is missing left; what is refused is said and left out. The lists and
 * their texts must live on. */
void node_retopic(node *n, const text_list *topics, const text_list *relay);
/* Begins every --connect, --direct and --rendezvous; keep: again whenever the connection is lost. -1, or an exit code. */
int node_connect(node *n, bool keep);
/* wait_and_turn() for the host and all that this node has beside it. */
void node_wait(node *n, struct pollfd *fds, size_t n_fds, uint64_t until);
/* The policy of every topic of this node; NULL: the router's. */
const msub_channel_policy *node_policy(const node *n);
/* Can a peer come in or be reached at all? */
bool node_has_way(const node *n);
/* Says on stderr why a dial failed, and what to do. */
void node_dial_failed(const node *n, const msub_host_event *ev, const char *then);
/* "listening on ADDR" on stderr for each address; for subcommands whose stdout is data. */
void node_say_listening(const node *n);
void node_close(node *n);

/* Position in n->names; n->n_topics: of none of them. */
size_t node_topic_index(const node *n, msub_topic t);
size_t node_topic_peers(const node *n, size_t topic);
size_t node_peer_count(const node *n);
/* The largest number of bytes that waits for one peer. */
size_t node_queued(const node *n);
/* A message, as text or JSON. `event`: the JSON object gets "ev":"message", and the text says so.
 */
void node_print_message(FILE *to, const node *n, size_t topic, const msub_msg *m, msub_bytes from, bool event);
/* Its data as text, with what stands in front (NULL: nothing). */
void node_print_data(FILE *to, const char *topic, msub_bytes data);

#endif
