/* meshsub/host.h (libmeshsub-host): a libp2p host on TCP that carries one engine: multistream-select, Noise, yamux, identify,
 * ping and the pubsub streams.
 *
 *   msub_host_opts o;  msub_host_opts_init(&o);  o.key = key;  o.on_message = …;
 *   msub_host_new(&o, &host);
 *   msub_host_listen(host, "/ip4/0.0.0.0/tcp/4001");
 *   msub_join(msub_host_engine(host), 0, msub_str("topic"), NULL, NULL, msub_host_now(host), &topic);
 *   msub_host_dial(host, "/ip4/192.0.2.7/tcp/4001/p2p/12D3Koo…", NULL);
 *   msub_host_run(host);                      (or msub_host_turn() from a poll loop of your own)
 *
 * Threads: a host belongs to the thread that makes it; its callbacks run there, inside msub_host_turn(). Thread-safe are only
 * msub_host_post, msub_host_publish and msub_host_stop. Other threads are started by NNG, where it is the transport, and by the
 * verification pool; they never call user code.
 * Re-entry: callbacks may use every call of this header but turn, run and free, and the engine's [deferred] calls with now == NULL
 * (msub_host_now() gives the right value in both cases). */
#ifndef MESHSUB_HOST_H
#define MESHSUB_HOST_H
#include "crypto.h"
#include "discovery.h"
#include "engine.h"
#include "exchange.h"
#include "store.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct msub_host msub_host;

/* What becomes of a session's message that finds its lane full. A lane is bounded in bytes of frames; in the forwarded and the gossip
 * lane what the transport still holds counts too. An empty lane takes one message of any size. */
typedef enum msub_overflow {
  MSUB_OVERFLOW_DROP_NEWEST, /* the message that does not fit */
  MSUB_OVERFLOW_DROP_OLDEST, /* from the front of its own lane until it fits */
  MSUB_OVERFLOW_BY_LANE,     /* the lane and the less urgent ones share their bounds; gossip goes first, then forwarded messages, then
                                the newest */
  MSUB_OVERFLOW_DISCONNECT   /* the peer is too slow: its connection is closed. The control lane may stand over its bound for one
                                second while nothing is taken, and never at eight times the bound */
} msub_overflow;

typedef enum msub_host_event_kind {
  MSUB_EV_LISTENING,    /* addr */
  MSUB_EV_CONNECTED,    /* peer_id, addr, outbound: authenticated and muxed */
  MSUB_EV_DISCONNECTED, /* peer_id, addr, text: why; its last connection ended when `last` */
  MSUB_EV_DIAL_FAILED,  /* addr, peer_id (when the address had one), text, err */
  MSUB_EV_IDENTIFIED,   /* peer_id, text: the agent version */
  MSUB_EV_PUBSUB,       /* peer_id, text: the protocol that both agreed on for our stream */
  MSUB_EV_TOPIC_JOIN, MSUB_EV_TOPIC_LEAVE /* peer_id, topic: a peer announced or gave up a joined topic */
} msub_host_event_kind;
typedef struct msub_host_event {
  msub_host_event_kind kind;
  msub_bytes peer_id, addr; /* binary; views for the call */
  bool outbound, last;
  int err;
  const char *text; /* escaped, printable */
  msub_topic topic;
  uint64_t cookie; /* of the dial, when it was one */
} msub_host_event;

typedef struct msub_host_opts {
  uint32_t size;            /* set by msub_host_opts_init */
  const msub_key *key;      /* identity; must outlive the host. Required */
  const char *transport;    /* "epoll" (Linux), "nng" (anywhere); NULL: the first of them that there is */
  const msub_mem *mem;      /* NULL: malloc */
  const char *agent;        /* agent version; "meshsub/<version>" */
  /* The engine: routers to lay out, NULL-terminated with options beside; default: gossipsub, which claims /floodsub/1.0.0 too. */
  const msub_router_ops *const *routers;
  const void *const *router_opts;
  const char *const *protocols; /* NULL-terminated: only these ids are offered and accepted, in this order. NULL: all */
  msub_engine_opts engine;  /* world, w, routers, self_id, key_field are set by the host, and verify when it is NULL; the rest is taken as it stands */
  uint64_t seed;            /* 0: from the system's random source */
  /* Lanes of a session, in bytes, and the rule of each. */
  size_t lane_bytes[MSUB_LANES];      /* control 64 KiB, own 4 MiB, forwarded 256 KiB, gossip 64 KiB */
  msub_overflow lane_rule[MSUB_LANES];/* control: DISCONNECT and nothing else; own: DROP_NEWEST (publish then says LIMIT); forwarded: DROP_NEWEST */
  unsigned verify_threads;  /* 0: one per core, at most 8 */
  size_t verify_queue;      /* jobs waiting; 4,096 */
  /* Connections. */
  unsigned max_inbound, max_outbound; /* 128, 32 */
  unsigned max_per_peer;              /* 2 */
  unsigned max_pending_inbound;       /* handshakes under way at a time: 16. Sixteen times as many may wait for theirs; unfinished ones of one /24 (/48): 4 */
  unsigned max_per_ip, max_per_net;   /* 8 per /32 (/64 of IPv6), 32 per /24 (/48) */
  bool count_loopback;                /* apply the limits by prefix to loopback too; false */
  unsigned max_dials;                 /* at a time: 16 */
  uint64_t handshake_timeout_ns;      /* accept or connect to authenticated and muxed: 15 s */
  uint64_t negotiate_timeout_ns;      /* of a stream: 10 s */
  uint64_t write_timeout_ns;          /* bytes stand in front of a peer that takes none: 30 s, then it is closed */
  uint64_t redial_min_ns, redial_max_ns; /* back-off of msub_host_keep: 1 s doubling with jitter to 5 min */
  /* At max_inbound a new connection takes the place of one that is older than this and that no router protects; at max_outbound
   * one that the program dials, or to a direct peer, the place of one that was dialled on a hint. 20 s; MSUB_NEVER: never. */
  uint64_t grace_ns;
  /* Finding peers. Found ones are dialled at most 8 at a time, silently; a connection is an event like any other. */
  bool dial_hints;                    /* dial whom routers name: peer exchange, direct peers; true */
  unsigned max_hints;                 /* named or found peers that wait to be dialled; 128 */
  msub_discovery discovery;           /* ops NULL: none. Told of joined topics, asked when a topic has too few peers; outlives the host */
  void *ud;                 /* handed to the callbacks */
  /* A message of a joined topic. from: peer id that brought it, empty for an own publish. Hold m with msub_msg_hold to keep it. false: FULL. NULL: nothing is delivered. */
  bool (*on_message)(void *ud, msub_host *h, msub_topic t, const msub_msg *m, msub_bytes from);
  void (*on_event)(void *ud, msub_host *h, const msub_host_event *ev);
  void (*on_result)(void *ud, msub_host *h, msub_token ticket, int err, uint32_t recipients);
  /* What the engine does, as it does it; views for the call. NULL: no cost. */
  void (*on_trace)(void *ud, msub_host *h, const msub_event *ev);
  msub_log log;
  /* Outcomes in more detail than on_result, and those of msub_await(): world.published of world.h. */
  void (*on_published)(void *ud, msub_host *h, const msub_published *p);
  /* The connection manager. When more than high_water connections are open, some are closed until low_water are left: the least valuable
   * peers first (msub_host_tag), of equal ones the youngest; peers of a mesh and direct peers last, and only as far as
   * high_water. Spared are kept addresses (msub_host_keep), protected peers (msub_host_protect), connections younger than grace_ns. 112, 144;
   * low_water <= high_water; high_water 0: none is closed. */
  unsigned low_water, high_water;
  /* Whose connections are taken, by the type of their key: bits 1 << msub_key_type; 0: all. rsa_bits: of the largest RSA key, 2,048 … 8,192, of
   * connections and (unless engine.verify is set) of messages; 0: 4,096. Another key ends the handshake, and nobody is to blame. */
  unsigned key_types, rsa_bits;
  /* What outlives the host, in keys that begin with "anchor/" and "peer/" (book); outlives it itself; ops NULL: nothing does. The host submits, and does not listen:
   * the store's turns and errors are its owner's. `anchors` (4, at most 8) peers of meshes to which the host has connected for a minute and
   * longer, the longest first, are kept there, and dialled before all others at the next start. */
  msub_store store;
  unsigned anchors;
  /* With fewer peers than this, known ones are dialled (those of the book, below), also after a restart, once the anchors are on their way. 0 */
  unsigned min_peers;
  /* Names in addresses (/dns, /dns4, /dns6, /dnsaddr) are looked up on threads of the host's own. */
  struct {
    const char *server;  /* "IP:PORT", "[IP6]:PORT": the one server to ask, and no /etc/hosts. NULL: as the system does. Outlives the host */
    uint64_t timeout_ns; /* for one address, all its names together: 5 s */
  } dns;
  /* Where peers are found for any topic whose router wants more (gossipsub: when a mesh is below Dlo; floodsub: below 5; randomsub: below its number of recipients), beside `discovery`: NULL-terminated
   * addresses, a static list; with /p2p/ID each, or /dnsaddr/NAME, whose records name peers and may change. Asked at most every 10 s,
   * found peers are dialled as hints are. At most 64 (LIMIT); copied. NULL: none. */
  const char *const *find_at;
  /* The book: where peers can be reached, whether they are connected or not. At most 1,024 peers with 8 addresses each, half of the peers such
   * that only they themselves say where they are, and 32 of these through one network (/24, /48; not loopback, unless count_loopback). Of an
   * address is known who says so:
   *
   *   proved   the program named it, or the host's own connection to it stood          remembered for proved_ns after that: 7 days
   *   signed   it stands in the peer's signed record, the newest by its sequence number }         for said_ns: 1 day
   *   said     the peer says so of itself, by identify                                  }
   *
   * As long as a peer is connected all of it is renewed. `stored` (true): with a store the book stands there too, in keys that begin with
   * "peer/", with the records as they came, up to 2 KiB each. What changes is written together, delay_ns (10 s) after the first change, and
   * when the host is freed; at the start it is read in steps, 16 peers a turn. What is damaged or foreign is counted (book_passed_over) and
   * taken away, and never an error; a store that fails is asked again, less often each time (book_failed). Times are wall clock there: one
   * that is wrong by up to an hour lets nothing end too early, and nothing lasts longer than its time and an hour. Must not be 0: proved_ns, said_ns. */
  struct {
    bool stored;
    uint64_t proved_ns, said_ns, delay_ns;
  } book;
  /* Finding peers on the local network by multicast DNS, as libp2p's specification says (_p2p._udp.local), over IPv4 and IPv6, port 5353, on a thread of its own. Others are told
   * where this host listens, under a name that is random; peers that are found are dialled like those of find_at. Believed are private addresses and the
   * sender's own, from senders of the interface's network; link-local addresses of IPv6 are neither told nor believed (mdns_zoneless). Off: whoever is on that network learns our peer id and may send us to addresses in it.
   * msub_host_new: IO when port 5353 is somebody's alone. */
  struct { bool on; } mdns;
  /* What the host, its engine and its exchange have allocated together, in bytes as they were asked for: above it every allocation fails, and is
   * handled as where memory is short (a connection is refused, a message dropped, a call answers NOMEM); memory_refused counts them. Not in it: what
   * NNG, OpenSSL and a store allocate, the stacks of threads, and the fixed memory of the threads for names and multicast DNS. Leave room: the host's own buffers take up to 1 MiB, a
   * connection some 10 KiB and what it does not read in time, and what waits for slow peers is bounded by lane_bytes. 0: no limit. */
  size_t max_bytes;
} msub_host_opts;
MSUB_API void msub_host_opts_init(msub_host_opts *o);

/* Everything is copied except what is said to outlive. INVAL, NOMEM, IO (no random source, no event descriptor), what the engine answers. On an error *why (may be NULL) is a static text. */
MSUB_API int msub_host_new(const msub_host_opts *o, msub_host **out, const char **why);
/* Closes everything at once and waits for the threads. Not from a callback (STATE). */
MSUB_API int msub_host_free(msub_host *h);

MSUB_API msub_engine *msub_host_engine(msub_host *h);
/* The time argument for engine calls: the time of this turn, or NULL inside a callback. */
MSUB_API const msub_now *msub_host_now(msub_host *h);
MSUB_API msub_bytes msub_host_peer_id(const msub_host *h);
/* Our signed peer record in either dialect, with the addresses that identify tells; `host` is a msub_host. In the form that msub_rendezvous_start (rendezvous.h) takes. Returns
 * the length, written when cap suffices; 0: there is no address yet, or signing failed. */
MSUB_API size_t msub_host_record(void *host, msub_record_dialect dialect, uint8_t *out, size_t cap);
/* The IP address, 4 or 16 bytes, of the newest connection of a peer, to count what comes from one network by; `host` is a msub_host. In the form that msub_rendezvous_point_opts
 * takes. Returns the length; 0: not connected, or loopback while count_loopback is off. */
MSUB_API size_t msub_host_peer_ip(void *host, msub_bytes peer_id, uint8_t out[16]);

/* Listens on /ip4|ip6/…/tcp/PORT (0: any), or /ip4|ip6/…/tcp/PORT/ws: WebSocket without TLS, at path "/". NNG answers the HTTP part and
 * bounds neither the number of connections that have not asked for WebSocket yet nor their time: put a proxy in front of a port that
 * strangers reach. MALFORMED, UNSUPPORTED, IO; *why says which system error. */
MSUB_API int msub_host_listen(msub_host *h, const char *multiaddr, const char **why);
/* The i-th listen address with the real port and /p2p/ID, as text. LIMIT: cap; NOTFOUND: past the end. */
MSUB_API int msub_host_addr(const msub_host *h, size_t i, char *out, size_t cap);
/* Dials once. With /p2p/ID the peer must prove that id (else DIAL_FAILED with MISMATCH). The outcome is an event. `cookie` comes back in it. OK: begun, or already connected (then the event comes in the next turn); MALFORMED, UNSUPPORTED, LIMIT (too many dials), REFUSED (cool-down, or own id). */
MSUB_API int msub_host_dial(msub_host *h, const char *multiaddr, uint64_t cookie);
/* A host may be a name: /dns (both families), /dns4, /dns6, /dnsaddr (TXT records of _dnsaddr.NAME, "dnsaddr=ADDR"). It is looked up for each
 * dial; what it leads to is tried one after the other, 250 ms apart, the addresses of one peer together. At most 64 such dials at a time (LIMIT),
 * 16 names and 16 addresses of each, 4 dnsaddr one behind the other. DIAL_FAILED with NOTFOUND: no such name, or no address that TCP can
 * reach; TIMEOUT; IO: the name server refuses; MALFORMED: it talks nonsense. */
/* Keeps a connection to this address: dials now, and again with back-off whenever it is lost. The address needs /p2p/ID for a back-off by peer; without it counts by address. */
MSUB_API int msub_host_keep(msub_host *h, const char *multiaddr);
/* Closes the connections to a peer, and stops keeping it. NOTFOUND. */
MSUB_API int msub_host_disconnect(msub_host *h, msub_bytes peer_id);

/* Dials a peer at the addresses that are known of it: several at a time, the first that answers stays, and there is one event, CONNECTED or
 * DIAL_FAILED (addr: the one that failed last). Known are the addresses that the program or a connection has proved, those of its signed record, and what it said of itself.
 * OK: begun, or already connected; NOTFOUND: none is known; INVAL: no peer id; REFUSED: our own id; LIMIT: too many dials, or every address is
 * refused; NOMEM. */
MSUB_API int msub_host_dial_peer(msub_host *h, msub_bytes peer_id, uint64_t cookie);

/* What a connected peer is worth to the connection manager: the sum of its tags. A tag is set anew by each call (`tag`: at most 31 bytes);
 * value 0 removes it; half_life_ns: its value halves once in that time, 0: it stays. Tags end with the peer's last connection. NOTFOUND: not
 * connected; LIMIT: 16 tags; INVAL: no name, or a longer one; NOMEM. */
MSUB_API int msub_host_tag(msub_host *h, msub_bytes peer_id, const char *tag, int32_t value, uint64_t half_life_ns);
/* The value of a tag now; 0: it has none. NOTFOUND: not connected. */
MSUB_API int msub_host_tag_value(msub_host *h, msub_bytes peer_id, const char *tag, int32_t *value);
/* A protected peer is not closed to make room, connected or not, until it is given free again. INVAL: no peer id; NOMEM. */
MSUB_API int msub_host_protect(msub_host *h, msub_bytes peer_id, bool on);

/* Which addresses this host dials and accepts connections from. Rules replace those that there were; the first that matches decides, an
 * address without one is allowed. Each is "allow|deny [dial|accept] IP[/BITS]": "deny accept 192.0.2.0/24", "allow 10.1.2.3", "deny ::/0".
 * IPv4 in IPv6 counts as IPv4. Connections that stand are not looked at again. Refused ones are counted (accepts_filtered, dials_filtered) and,
 * dialled by the program, told: DIAL_FAILED with REFUSED. INVAL: *why (may be NULL) says what is wrong, *bad (may be NULL) with
 * which; LIMIT: more than 256; NOMEM. On an error the old rules stay. */
MSUB_API int msub_host_filter(msub_host *h, const char *const *rules, size_t n, size_t *bad, const char **why);
/* The i-th of the addresses at which peers say they see us, without /p2p, and how many networks (/24, /48) say so; what a network says last
 * counts, for an hour. Said by four it is believed: identify announces it. A peer that we dialled sees another port than the one that
 * we listen on, so that is put in its place. LIMIT: cap; NOTFOUND: past the end. */
MSUB_API int msub_host_observed(const msub_host *h, size_t i, char *out, size_t cap, unsigned *networks);

/* Runs until msub_host_stop(). OK, or IO. */
MSUB_API int msub_host_run(msub_host *h);
/* Does the work that is there, at most about max_ns of it. Returns true when more is waiting. Never sleeps. */
MSUB_API bool msub_host_turn(msub_host *h, uint64_t max_ns);
/* A level-triggered descriptor: readable when a turn has work. And the monotonic time (CLOCK_MONOTONIC, ns) of the next timer. */
MSUB_API int msub_host_fd(const msub_host *h);
MSUB_API uint64_t msub_host_next_deadline(msub_host *h);
/* Thread-safe: the loop ends at its next turn; msub_host_run() closes connections in order (what is queued goes out, at most 1 s). */
MSUB_API void msub_host_stop(msub_host *h);
/* Thread-safe: fn(h, arg) on the loop's thread. LIMIT: 65,536 are waiting. */
MSUB_API int msub_host_post(msub_host *h, void (*fn)(msub_host *h, void *arg), void *arg);
/* Thread-safe: copies data and publishes on a topic that the host's program has joined. LIMIT, NOMEM; later outcomes by on_result (ticket {0}). */
MSUB_API int msub_host_publish(msub_host *h, msub_topic t, msub_bytes data);

typedef struct msub_host_peer {
  msub_bytes peer_id, addr;    /* addr: of its newest connection */
  const char *protocol;        /* pubsub protocol of our stream, NULL: none yet */
  const char *agent;           /* escaped; "" before identify */
  const char *const *protocols;/* from identify; n_protocols */
  size_t n_protocols;
  unsigned connections;
  bool outbound, agreed;
  size_t queued_bytes;
  int64_t value;               /* the sum of its tags */
  bool is_protected;           /* by the program or a router */
} msub_host_peer;
/* Views for the call. NOTFOUND: past the end. */
MSUB_API int msub_host_peer_at(msub_host *h, size_t i, msub_host_peer *out);
/* Sends one ping on the newest connection; done() gets the round trip, or MSUB_NEVER when it failed. NOTFOUND, NOMEM. */
MSUB_API int msub_host_ping(msub_host *h, msub_bytes peer_id, void (*done)(void *ud, uint64_t rtt_ns), void *ud);

/* The exchange of this host: it lives as long as the host, whose end is an end for all streams (GONE). Callbacks run inside
 * msub_host_turn() (and msub_host_free(), for the last on_end), never inside one of its operations; what they may call is said
 * above. Written bytes wait here, at most 256 KiB of a stream and 2 MiB of a peer. Bytes that a handler does not take wait too:
 * at 4 MiB of them a connection is not read any more, and after ten seconds of that the fullest stream is reset. A peer is told
 * by identify, when it connects, what is served then, and by identify's push when that changes. */
MSUB_API msub_exchange msub_host_exchange(msub_host *h);

/* A pattern of topics, for `allows` of a msub_topic_filter (guard.h) with the pattern as ud:
 *
 *   msub_topic_pattern_new("chat/[a-z]+|news", &p, why, sizeof why);
 *   msub_topic_filter f = { .abi = MSUB_ABI, .size = sizeof f, .name = "pattern", .allows = msub_topic_pattern_allows };
 *   msub_filter_topics(msub_host_engine(host), &f, p);
 *
 * A POSIX extended regular expression that the whole name has to match (go-libp2p-pubsub's may match a part). A name with a zero byte matches
 * nothing. In the locale "C" bytes are characters. */
typedef struct msub_topic_pattern msub_topic_pattern;
/* INVAL: not a pattern, `why` (cap bytes, may be NULL) says what is wrong with it; LIMIT: longer than 1,024 bytes; NOMEM. */
MSUB_API int msub_topic_pattern_new(const char *pattern, msub_topic_pattern **out, char *why, size_t cap);
MSUB_API bool msub_topic_pattern_allows(void *ud, msub_bytes topic, msub_peer p); /* any thread */
MSUB_API void msub_topic_pattern_free(msub_topic_pattern *p); /* NULL is fine */

#define MSUB_HOST_COUNTS(X)                                                                                         \
  X(accepted) X(accept_refused) X(accept_paused) X(dials) X(dial_failed) X(handshakes_failed) X(handshakes_late) X(connections_closed) \
  X(streams_reset) X(streams_refused) X(protocol_faults) X(bytes_in) X(bytes_out) X(records_in) X(records_out) X(writes)      \
  X(lane_dropped) X(slow_closed) X(verify_jobs) X(verify_full)                                                     \
  X(exchange_opened) X(exchange_served) X(exchange_waited) X(exchange_late) X(withdrawn)                                    \
  X(lookups) X(lookups_failed) X(dials_filtered) X(accepts_filtered)                                               \
  X(mdns_asked) X(mdns_answered) X(mdns_heard) X(mdns_refused) X(mdns_zoneless) X(mdns_malformed) X(mdns_dropped)                         \
  X(hints) X(hints_dropped) X(hints_dialled) X(hints_connected) X(sought) X(found) X(trimmed) X(pushes) X(anchors_connected) X(anchors_failed)               \
  X(records_old) X(book_loaded) X(book_written) X(book_passed_over) X(book_failed) X(memory_refused)
/* Which rule refused an accepted connection; accept_refused is their sum. */
#define MSUB_HOST_REFUSALS(X) X(stopping) X(inbound) X(filter) X(address) X(network) X(unfinished_network) X(cooldown) X(unfinished) X(memory)
#define MSUB_HOST_ERRORS 16 /* MSUB_OK … MSUB_ERR_IO, as -err */
typedef struct msub_host_counts {
#define MSUB_X(name) uint64_t name;
  MSUB_HOST_COUNTS(MSUB_X)
#undef MSUB_X
  uint64_t connections, half_open, streams; /* now */
  uint64_t memory_bytes; /* now; 0 without max_bytes */
  struct {
#define MSUB_X(name) uint64_t name;
    MSUB_HOST_REFUSALS(MSUB_X)
#undef MSUB_X
  } refused;
  /* connections_closed, handshakes_failed and dial_failed by the error, [-err]; [0]: this side ended it in order. */
  uint64_t closed_by[MSUB_HOST_ERRORS], handshakes_failed_by[MSUB_HOST_ERRORS], dial_failed_by[MSUB_HOST_ERRORS];
} msub_host_counts;
MSUB_API const msub_host_counts *msub_host_count(msub_host *h);

#ifdef __cplusplus
}
#endif
#endif
