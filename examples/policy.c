/* examples/policy.c: a channel policy with every hook of meshsub/channel.h, and a scenario in virtual time that calls each.
 *
 * The topic carries versions of documents, "KEY:VERSION:TEXT". Version 3 follows version 2, so one that comes early waits for
 * the one before, and is asked for of whoever brought it. A node keeps the newest version of each key as a message, older ones as
 * bytes; the oldest lie in a store that answers later.
 *
 *   cc policy.c $(pkg-config --cflags --libs meshsub-sim) -o policy && ./policy
 *
 * Prints for each hook how often it was called and what the node sent right after it. Exit status 1: one was never called. */
#include <meshsub/gossipsub.h>
#include <meshsub/sim.h>
#include <stdio.h>
#include <string.h>

static void saw(const msub_channel *c, const char *hook); /* counts for the table at the end; a policy needs no such thing */

/* ---- the policy's own state: one per topic that was joined with it; everything in it is bounded ---- */

enum { KEYS = 2, VERSIONS = 16, WAITING = 4, PATIENCE = 5 /* heartbeats */, TEXT = 64 };
typedef struct document {
  char key[8];
  unsigned newest;                                     /* version; 0: none yet */
  const msub_msg *m;                                   /* the newest, as a message; held */
  struct { uint8_t b[TEXT]; size_t n; } old[VERSIONS]; /* all of them, as bytes */
} document;
typedef struct wait { msub_token t; unsigned heartbeats; char parent[16]; } wait; /* t.v == 0: free */
typedef struct fetch { msub_token t; msub_bytes data; } fetch;
typedef struct library {
  msub_sim *sim;
  uint32_t node;
  document doc[KEYS];
  wait waits[WAITING];
  fetch fetched;              /* one at a time */
  msub_session bad[WAITING];  /* who sent nonsense */
  unsigned n_bad, turn, room; /* room: messages that the program still takes */
} library;

static void start(library *l, msub_sim *sim, uint32_t node, unsigned room) {
  *l = (library){ .sim = sim, .node = node, .room = room, .doc = { { .key = "doc" }, { .key = "img" } } };
}
static document *find(library *l, const char *key) {
  for (unsigned i = 0; i < KEYS; i++)
    if (strcmp(l->doc[i].key, key) == 0) return &l->doc[i];
  return NULL;
}
static msub_bytes id_of(char out[16], const char *key, unsigned version) {
  return (msub_bytes){ (uint8_t *)out, (size_t)snprintf(out, 16, "%.7s:%u", key, version) };
}
/* "KEY:VERSION", and nothing or ":…" behind it. */
static bool parse(msub_bytes b, char key[8], unsigned *version) {
  size_t i = 0;
  for (; i < b.n && i < 7 && b.p[i] != ':'; i++) key[i] = (char)b.p[i];
  key[i] = 0;
  size_t first = ++i;
  if (i > b.n || b.p[i - 1] != ':') return false;
  for (*version = 0; i < b.n && b.p[i] >= '0' && b.p[i] <= '9' && *version < VERSIONS; i++)
    *version = *version * 10 + b.p[i] - '0';
  return i > first && *version < VERSIONS && (i == b.n || b.p[i] == ':');
}

/* ---- what a message is, and how it travels: one byte of checksum, then the text ---- */

static uint8_t checksum(const uint8_t *p, size_t n) {
  uint8_t sum = 0x5a;
  for (size_t i = 0; i < n; i++) sum = (uint8_t)(sum * 31 + p[i]);
  return sum;
}
static size_t payload_out(const msub_channel *c, msub_bytes data, uint8_t *to, size_t cap) {
  saw(c, "payload_out");
  if (data.n + 1 > cap) return data.n + 1; /* called again with that much room */
  to[0] = checksum(data.p, data.n);
  memcpy(to + 1, data.p, data.n);
  return data.n + 1;
}
static size_t payload_in(const msub_channel *c, msub_bytes data, uint8_t *to, size_t cap) {
  saw(c, "payload_in");
  if (data.n == 0 || data.p[0] != checksum(data.p + 1, data.n - 1)) return SIZE_MAX; /* rejected */
  if (data.n - 1 <= cap) memcpy(to, data.p + 1, data.n - 1);
  return data.n - 1;
}
/* Sees the data as they travel. A hash would do where strangers publish: nobody can take the id of another's version then. */
static size_t message_id(const msub_msg *m, uint8_t out[MSUB_MAX_ID]) {
  saw(NULL, "message_id");
  msub_bytes d = msub_data(m);
  char key[8], id[16];
  unsigned version;
  if (d.n == 0 || !parse((msub_bytes){ d.p + 1, d.n - 1 }, key, &version)) return 0;
  msub_bytes b = id_of(id, key, version);
  memcpy(out, b.p, b.n);
  return b.n;
}

/* ---- admit: waits for the version before, refuses when too many wait ---- */

static msub_verdict admit(const msub_channel *c, const msub_msg *m, msub_session from, msub_token t) {
  saw(c, "admit");
  library *l = c->ctx;
  char key[8] = "";
  unsigned version = 0;
  parse(msub_id(m), key, &version);
  const document *d = find(l, key);
  if (!d || version == 0) { /* nobody makes such: whoever brought it stays out of our mesh */
    if (from.v) l->bad[l->n_bad++ % WAITING] = from;
    return MSUB_REJECT;
  }
  if (version <= d->newest) return MSUB_IGNORE;
  if (version == d->newest + 1) return MSUB_ACCEPT;
  for (unsigned i = 0; i < WAITING; i++) {
    wait *w = &l->waits[i];
    if (w->t.v) continue;
    *w = (wait){ .t = t };
    msub_bytes parent = id_of(w->parent, key, version - 1);
    if (from.v) msub_ask(c->engine, from, c->topic, &parent, 1, NULL);
    return MSUB_DEFER;
  }
  return MSUB_THROTTLED; /* not marked: another copy of it may come later */
}
/* The engine gave a token up: over the quota, the topic was left, or nobody answered for 10 s. */
static void released(const msub_channel *c, msub_token t, int why) {
  saw(c, "released");
  library *l = c->ctx;
  (void)why;
  for (unsigned i = 0; i < WAITING; i++)
    if (l->waits[i].t.v == t.v) l->waits[i].t.v = 0;
  if (l->fetched.t.v == t.v) l->fetched.t.v = 0;
}
static void shift(const msub_channel *c) {
  saw(c, "shift");
  library *l = c->ctx;
  for (unsigned i = 0; i < WAITING; i++) {
    wait *w = &l->waits[i];
    if (w->t.v == 0 || ++w->heartbeats < PATIENCE) continue;
    msub_complete(c->engine, w->t, MSUB_IGNORE, NULL);
    w->t.v = 0;
  }
}
/* false makes the message THROTTLED (MSUB_FULL_REFUSE): it is neither kept nor forwarded, and gossip brings it again. */
static bool deliver(const msub_channel *c, const msub_msg *m, msub_bytes payload, msub_peer from) {
  saw(c, "deliver");
  library *l = c->ctx;
  (void)m, (void)from;
  if (l->room == 0) return false;
  l->room--;
  printf("%7.3f s  node %u has %.*s\n", (double)msub_sim_time(l->sim) / 1e9, l->node, (int)payload.n, (const char *)payload.p);
  return true;
}

/* ---- the cache ---- */

static void cache_put(const msub_channel *c, const msub_msg *m) {
  saw(c, "cache_put");
  library *l = c->ctx;
  char key[8] = "";
  unsigned version = 0;
  document *d = parse(msub_id(m), key, &version) ? find(l, key) : NULL;
  if (!d || msub_data(m).n > TEXT) return;
  memcpy(d->old[version].b, msub_data(m).p, d->old[version].n = msub_data(m).n);
  msub_msg_drop(msub_engine_shared(c->engine), d->m);
  d->m = msub_msg_hold(m);
  d->newest = version;
  for (unsigned i = 0; i < WAITING; i++) {
    wait *w = &l->waits[i];
    if (w->t.v == 0 || !msub_bytes_eq(msub_str(w->parent), msub_id(m))) continue;
    msub_complete(c->engine, w->t, MSUB_ACCEPT, NULL);
    w->t.v = 0;
  }
}
/* The slow store: here a timer, 20 ms later. */
static void store_answers(void *ud, msub_sim *s, uint32_t node) {
  library *l = ud;
  msub_cached got = { .payload = l->fetched.data };
  if (l->fetched.t.v) msub_supply(msub_sim_engine(s, node), l->fetched.t, &got, msub_sim_now(s, node));
  l->fetched.t.v = 0;
}
static msub_got cache_get(const msub_channel *c, msub_bytes id, msub_token later, msub_cached *out) {
  saw(c, "cache_get");
  library *l = c->ctx;
  char key[8];
  unsigned version;
  const document *d = parse(id, key, &version) ? find(l, key) : NULL;
  if (!d || version == 0 || version > d->newest) return MSUB_GOT_NONE;
  if (version == d->newest) {
    saw(c, " message");
    out->msg = d->m;
    return MSUB_GOT_MSG;
  }
  out->payload = (msub_bytes){ d->old[version].b, d->old[version].n }; /* as it travels */
  if (version + 1 == d->newest) {
    saw(c, " payload");
    return MSUB_GOT_PAYLOAD;
  }
  if (l->fetched.t.v) return MSUB_GOT_NONE; /* whoever asked may ask again */
  saw(c, " later");
  l->fetched = (fetch){ later, out->payload };
  msub_sim_at(l->sim, l->node, msub_sim_time(l->sim) + 20 * MSUB_SIM_MS, store_answers, l, NULL);
  return MSUB_GOT_LATER;
}
static size_t newest_ids(const library *l, msub_bytes *ids, size_t max) {
  size_t n = 0;
  for (unsigned i = 0; i < KEYS && n < max; i++)
    if (l->doc[i].m) ids[n++] = msub_id(l->doc[i].m);
  return n;
}
static size_t gossip_ids(const msub_channel *c, msub_bytes *ids, size_t max) {
  saw(c, "gossip_ids");
  return newest_ids(c->ctx, ids, max);
}
/* In turn instead of at random, and mesh members too: who refused a version when it was full hears of it again. */
static void emit(const msub_channel *c, size_t want, msub_list *io) {
  saw(c, "emit");
  library *l = c->ctx;
  if (want > io->n) want = io->n;
  for (size_t i = 0; i < want; i++) {
    size_t k = i + l->turn % (io->n - i);
    msub_session s = io->s[k];
    io->s[k] = io->s[i];
    io->s[i] = s;
  }
  l->turn++;
  io->n = want;
}

/* ---- the mesh ---- */

static bool may_graft(const msub_channel *c, msub_session s) {
  saw(c, "may_graft");
  const library *l = c->ctx;
  for (unsigned i = 0; i < WAITING; i++)
    if (l->bad[i].v == s.v) return false;
  return true;
}
static void on_graft(const msub_channel *c, msub_session s, bool ours) { /* is there something newer? */
  saw(c, "on_graft");
  const library *l = c->ctx;
  char text[KEYS][16];
  msub_bytes next[KEYS];
  (void)ours;
  for (unsigned i = 0; i < KEYS; i++) next[i] = id_of(text[i], l->doc[i].key, l->doc[i].newest + 1);
  msub_ask(c->engine, s, c->topic, next, KEYS, NULL);
}
static void on_peer_join(const msub_channel *c, msub_session s) { /* it need not wait for a heartbeat */
  saw(c, "on_peer_join");
  msub_bytes ids[KEYS];
  size_t n = newest_ids(c->ctx, ids, KEYS);
  if (n) msub_offer(c->engine, s, c->topic, ids, n, NULL);
}

static const msub_gossipsub_mesh mesh = { .d = 4, .dlo = 2, .dhi = 6, .dscore = 2, .dout = 1, .dlazy = 4,
                                          .gossip_factor_ppm = 250000, .idontwant_bytes = 1024, .flood_publish = true };
static const msub_channel_policy policy = {
  .abi = MSUB_ABI, .size = sizeof(msub_channel_policy), .name = "documents",
  .full = MSUB_FULL_REFUSE, .sign = MSUB_SIGN_NEVER, .open_ids = true, .defer_bytes = 4096, .max_data = TEXT, .params = &mesh,
  .message_id = message_id, .payload_out = payload_out, .payload_in = payload_in, .cache_put = cache_put, .cache_get = cache_get,
  .gossip_ids = gossip_ids, .shift = shift, .emit = emit, .emit_mesh_too = true, .may_graft = may_graft, .on_graft = on_graft,
  .on_peer_join = on_peer_join, .admit = admit, .released = released, .deliver = deliver,
};

/* ---- the scenario: what follows each hook on the wire ---- */

enum { AUTHOR, READER, LATE, STRANGER, NODES }; /* nodes; the stranger has a policy that minds nothing */
static const msub_channel_policy careless = { .abi = MSUB_ABI, .size = sizeof careless, .name = "careless", .sign = MSUB_SIGN_NEVER,
                                              .message_id = message_id, .payload_out = payload_out, .payload_in = payload_in };
static library libraries[STRANGER];
static msub_topic topics[NODES];
/* What is counted, what it decides, and the kind of control entry that shows it on the wire, or a message, or nothing. */
enum { MESSAGE = 20, NOTHING };
static struct hook {
  const char *name, *decides;
  int wire;
  unsigned calls;
  uint64_t last[NODES]; /* when a node was in it last */
  char sent[40];        /* what the node sent in that instant, the first time */
} hooks[] = {
#define HOOK(n, d, w) { .name = n, .decides = d, .wire = w }
  HOOK("message_id", "when two messages are the same", NOTHING),
  HOOK("payload_out", "how a payload travels", MESSAGE),
  HOOK("payload_in", "what the program gets of it", NOTHING),
  HOOK("admit", "take, refuse, or wait and ask", MSUB_C_IWANT),
  HOOK("released", "that waiting is over", NOTHING),
  HOOK("deliver", "whether there is room", NOTHING),
  HOOK("cache_put", "what is kept", MESSAGE),
  HOOK("cache_get", "what answers an IWANT:", MESSAGE),
  HOOK(" message", "the message itself", MESSAGE),
  HOOK(" payload", "bytes for a new one", MESSAGE),
  HOOK(" later", "bytes, some time later", NOTHING),
  HOOK("gossip_ids", "what is announced", MSUB_C_IHAVE),
  HOOK("emit", "to whom", MSUB_C_IHAVE),
  HOOK("shift", "how long one waits", NOTHING),
  HOOK("may_graft", "who may be in the mesh", MSUB_C_PRUNE),
  HOOK("on_graft", "what is asked of a new member", MSUB_C_IWANT),
  HOOK("on_peer_join", "what a newcomer is told", MSUB_C_IHAVE),
};
enum { HOOKS = sizeof hooks / sizeof hooks[0] };

static void saw(const msub_channel *c, const char *name) {
  struct hook *h = hooks;
  while (strcmp(h->name, name) != 0) h++;
  h->calls++;
  const library *l = c ? c->ctx : NULL;
  if (l) h->last[l->node] = msub_sim_time(l->sim);
}
static void on_trace(void *ud, msub_sim *s, uint32_t node, const msub_event *ev) {
  static const char *const names[] = { "SUBSCRIBE", "UNSUBSCRIBE", "IHAVE", "IWANT", "GRAFT", "PRUNE", "IDONTWANT" };
  (void)ud;
  if (ev->kind != MSUB_T_SEND_RPC) return;
  const msub_ctl_entry *e = ev->rpc->ctl ? ev->rpc->ctl->e : NULL;
  msub_bytes id = ev->rpc->n_msgs ? msub_id(ev->rpc->msgs[0]) : e && e->n_ids ? e->ids[0] : msub_str("");
  for (struct hook *h = hooks; h < hooks + HOOKS; h++)
    if (h->last[node] == msub_sim_time(s) && h->wire == (e ? e->kind : MESSAGE) && !h->sent[0])
      snprintf(h->sent, sizeof h->sent, "%u -> %u  %s %.*s", node, msub_sim_node_of(s, ev->peer), e ? names[e->kind] : "message",
               (int)id.n, (const char *)id.p);
}

static void run_until(msub_sim *s, double seconds) { msub_sim_run_until(s, (uint64_t)(seconds * 1e9)); }
static void publish(msub_sim *s, uint32_t node, const char *text) {
  int err = msub_publish(msub_sim_engine(s, node), topics[node], msub_str(text), msub_sim_now(s, node), NULL);
  if (err != MSUB_OK) printf("%s: %s\n", text, msub_err_text(err));
}
static void scenario(msub_sim *s) {
  const msub_bytes name = msub_str("documents");
  for (uint32_t i = 0; i < STRANGER; i++) {
    start(&libraries[i], s, i, i == READER ? 2 : 100);
    msub_join(msub_sim_engine(s, i), 0, name, &policy, &libraries[i], msub_sim_now(s, i), &topics[i]);
  }
  msub_sim_connect(s, READER, AUTHOR, 0);
  run_until(s, 3);
  publish(s, AUTHOR, "doc:1:once");
  publish(s, AUTHOR, "doc:2:once upon");
  publish(s, AUTHOR, "doc:3:once upon a"); /* the reader is full … */
  run_until(s, 6);
  libraries[READER].room = 100; /* … has room again, and hears of it by gossip */
  run_until(s, 9);
  publish(s, AUTHOR, "doc:4:once upon a time");
  publish(s, AUTHOR, "doc:5:The end.");
  run_until(s, 11);
  msub_sim_connect(s, LATE, READER, 0); /* hears of version 5, and asks its way back to version 1 */
  run_until(s, 16);
  msub_open(msub_sim_engine(s, STRANGER), 0, name, &careless, NULL, msub_sim_now(s, STRANGER), &topics[STRANGER]);
  msub_sim_connect(s, STRANGER, READER, 0);
  run_until(s, 17);
  publish(s, STRANGER, "doc:0:nonsense"); /* rejected … */
  run_until(s, 18);
  /* … and so not grafted: it joins with the policy that it opened the topic with. */
  msub_join(msub_sim_engine(s, STRANGER), 0, name, NULL, NULL, msub_sim_now(s, STRANGER), &topics[STRANGER]);
  publish(s, STRANGER, "doc:9:before its time"); /* nobody has version 8: given up after five heartbeats */
  run_until(s, 25);
  publish(s, STRANGER, "doc:12:before its time");
  run_until(s, 26);
  msub_leave(msub_sim_engine(s, READER), topics[READER], msub_sim_now(s, READER)); /* with version 12 waiting */
  run_until(s, 27);
}

int main(void) {
  msub_gossipsub_opts gs;
  msub_gossipsub_opts_init(&gs);
  gs.score = NULL; /* who sends nonsense would not be heard long enough to be refused a place in the mesh */
  const msub_sim_router router = { &msub_gossipsub, &gs };
  msub_sim_opts o;
  msub_sim_node_opts n;
  msub_sim *s;
  msub_sim_opts_init(&o);
  o.on_trace = on_trace;
  msub_sim_node_opts_init(&n);
  n.routers = &router;
  n.n_routers = 1;
  if (msub_sim_new(&o, &s) != MSUB_OK || msub_sim_add(s, &n, NODES, NULL) != MSUB_OK) return 1;
  scenario(s);

  bool all = libraries[LATE].doc[0].newest == 5;
  printf("\n%-13s %5s  %-30s %s\n", "hook", "calls", "decides", "on the wire");
  for (const struct hook *h = hooks; h < hooks + HOOKS; h++) {
    printf("%-13s %5u  %-30s %s\n", h->name, h->calls, h->decides, h->sent[0] ? h->sent : "-");
    all = all && h->calls > 0 && (h->wire == NOTHING || h->sent[0]);
  }
  for (unsigned i = 0; i < STRANGER; i++)
    for (unsigned k = 0; k < KEYS; k++) msub_msg_drop(msub_sim_shared(s), libraries[i].doc[k].m);
  if (msub_sim_free(s) != MSUB_OK) all = false; /* somebody holds a message */
  puts(all ? "every hook was called" : "NOT every hook was called");
  return all ? 0 : 1;
}
