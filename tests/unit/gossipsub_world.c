#include "gossipsub_world.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(c) ((c) ? (void)0 : (fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #c), abort()))

world w;
msub_gossipsub_opts o;
msub_session gs_peer[256];
static uint64_t began;

static size_t id_of(const msub_msg *m, uint8_t out[MSUB_MAX_ID]) {
  msub_bytes d = msub_data(m);
  size_t n = 0;
  while (n < d.n && n < MSUB_MAX_ID && d.p[n]) n++;
  if (n) memcpy(out, d.p, n);
  return n;
}
const msub_channel_policy gs_ids = { .abi = MSUB_ABI, .size = sizeof(msub_channel_policy), .name = "text", .message_id = id_of };

static msub_bytes id_of_view(const msub_msg_view *v) {
  size_t n = 0;
  while (n < v->data.n && v->data.p[n]) n++;
  return (msub_bytes){ v->data.p, n };
}

void gs_init(void) {
  world_init(&w, 250);
  world_wants(&w);
  w.opts.sign = MSUB_STRICT_NO_SIGN;
  w.id_of = id_of_view;
  msub_gossipsub_opts_init(&o);
  o.mesh.flood_publish = false;
  o.score = NULL; /* most tests do things that cost a peer its score, and want to see the rest */
  w.router_opts = &o;
  memset(gs_peer, 0, sizeof gs_peer);
}
void gs_parity(void) {
  msub_gossipsub_opts_go_parity(&o);
  w.opts.go_parity = true;
}
void gs_begin(bool parity) {
  gs_init();
  if (parity) gs_parity();
  gs_start();
}
void gs_start_with(const msub_router_ops *router) {
  world_start(&w, router);
  began = w.now.mono_ns;
}
void gs_start(void) { gs_start_with(&msub_gossipsub); }

msub_session gs_up(uint8_t seed, const char *protocol, bool outbound) {
  static msub_peer_id ids[256]; /* deriving one takes a while */
  if (!ids[seed].n) ids[seed] = world_peer_id(seed);
  msub_session_opts so = { .peer_id = msub_peer_id_bytes(&ids[seed]), .protocol = protocol, .link = seed, .outbound = outbound, .agreed = true };
  MUST(msub_session_up(w.e, &so, &w.now, &gs_peer[seed]) == MSUB_OK);
  return gs_peer[seed];
}
void gs_crowd(msub_session *out, uint8_t first, size_t n, const char *protocol, bool outbound, const char *topic) {
  for (size_t i = 0; i < n; i++) {
    msub_session s = gs_up((uint8_t)(first + i), protocol, outbound);
    if (topic) world_subscribe(&w, s, topic, true);
    if (out) out[i] = s;
  }
}

void gs_until(uint64_t ms) {
  uint64_t target = began + ms * MS;
  for (;;) {
    uint64_t d = msub_next_deadline(w.e);
    if (d > target) break;
    if (d > w.now.mono_ns) w.now.mono_ns = d;
    MUST(msub_advance(w.e, &w.now) == MSUB_OK);
  }
  if (target > w.now.mono_ns) w.now.mono_ns = target;
}
void gs_heartbeat(void) {
  uint64_t delay = o.heartbeat_delay_ns, now = w.now.mono_ns - began, due = delay;
  if (now >= delay) due = delay + ((now - delay) / o.heartbeat_ns + 1) * o.heartbeat_ns;
  gs_until((due + MS - 1) / MS);
}

void gs_from(msub_session s, uint8_t kind, const char *topic, const char *ids, uint64_t backoff_s) {
  static uint8_t buf[1 << 20];
  static msub_bytes list[20000];
  size_t n = 0;
  for (const char *p = ids; p && *p;) {
    size_t len = strcspn(p, " ");
    list[n++] = (msub_bytes){ (const uint8_t *)p, len };
    p += len + (p[len] == ' ');
  }
  msub_ctl_entry e = { .kind = kind, .ids = list, .n_ids = (uint32_t)n, .backoff_s = backoff_s };
  msub_bytes name = topic ? msub_str(topic) : (msub_bytes){ NULL, 0 };
  size_t len = msub_ctl_encode(&e, &name, 1, buf, sizeof buf);
  MUST(len <= sizeof buf && world_receive(&w, s, (msub_bytes){ buf, len }) == MSUB_OK);
}

static msub_bytes data_of(const char *id, size_t size) {
  static uint8_t data[1 << 17];
  size_t n = strlen(id);
  MUST(size <= sizeof data && n <= sizeof data);
  memset(data, 0, size > n ? size : n);
  memcpy(data, id, n);
  return (msub_bytes){ data, size > n ? size : n };
}
void gs_message(msub_session s, const char *topic, const char *id, size_t size) {
  static uint8_t buf[1 << 18];
  size_t n = world_plain_rpc(buf, sizeof buf, topic, data_of(id, size));
  MUST(world_receive(&w, s, (msub_bytes){ buf, n }) == MSUB_OK);
}
int gs_publish(msub_topic t, const char *id, size_t size) { return msub_publish(w.e, t, data_of(id, size), &w.now, NULL); }

/* ---- counting ---- */

typedef bool (*each)(void *ud, const world_sent *s, const msub_rpc_part *p);
static void walk(each f, void *ud) {
  for (size_t i = 0; i < w.n_sent; i++) {
    msub_rpc_iter it;
    msub_rpc_part part;
    msub_rpc_begin(&it, (msub_bytes){ w.sent[i].rpc, w.sent[i].n });
    while (msub_rpc_next(&it, &part) != MSUB_P_END)
      if (!f(ud, &w.sent[i], &part)) return;
  }
}
static const uint8_t kinds[] = { [MSUB_P_IHAVE] = MSUB_C_IHAVE, [MSUB_P_IWANT] = MSUB_C_IWANT, [MSUB_P_GRAFT] = MSUB_C_GRAFT,
                                 [MSUB_P_PRUNE] = MSUB_C_PRUNE, [MSUB_P_IDONTWANT] = MSUB_C_IDONTWANT };
static bool is_kind(const msub_rpc_part *p, uint8_t kind) {
  if (p->kind == MSUB_P_SUBSCRIPTION) return kind == (p->subscribe ? MSUB_C_SUB : MSUB_C_UNSUB);
  return p->kind >= MSUB_P_IHAVE && p->kind <= MSUB_P_IDONTWANT && kinds[p->kind] == kind;
}
typedef struct query {
  uint8_t kind;
  uint64_t link;
  const char *topic, *id;
  size_t n, n_px;
  uint64_t backoff;
  bool who[256];
} query;
static bool about(const query *q, const world_sent *s, const msub_rpc_part *p) {
  bool named = p->kind != MSUB_P_IWANT && p->kind != MSUB_P_IDONTWANT;
  return (!q->link || q->link == s->link) && (!q->topic || !named || msub_bytes_eq(p->topic, msub_str(q->topic)));
}
static bool entry(void *ud, const world_sent *s, const msub_rpc_part *p) {
  query *q = ud;
  if (!is_kind(p, q->kind) || !about(q, s, p)) return true;
  q->n++;
  q->who[s->link & 255] = true;
  if (p->kind == MSUB_P_PRUNE) {
    msub_px_iter px = p->px;
    msub_px one;
    q->backoff = p->has_backoff ? p->backoff_s : 0;
    for (q->n_px = 0; msub_px_next(&px, &one);) q->n_px++;
  }
  return true;
}
size_t gs_sent(uint8_t kind, uint64_t link, const char *topic) {
  query q = { .kind = kind, .link = link, .topic = topic };
  walk(entry, &q);
  return q.n;
}
uint64_t gs_sent_backoff(uint64_t link, const char *topic, size_t *n_px) {
  query q = { .kind = MSUB_C_PRUNE, .link = link, .topic = topic, .backoff = UINT64_MAX };
  walk(entry, &q);
  if (n_px) *n_px = q.n_px;
  return q.backoff;
}
size_t gs_who(uint8_t kind, const char *topic, uint8_t out[256]) {
  query q = { .kind = kind, .topic = topic };
  walk(entry, &q);
  size_t n = 0;
  for (unsigned i = 0; i < 256; i++)
    if (q.who[i]) out[n++] = (uint8_t)i;
  return n;
}
static bool with_id(void *ud, const world_sent *s, const msub_rpc_part *p) {
  query *q = ud;
  if (!is_kind(p, q->kind) || !about(q, s, p)) return true;
  msub_ids ids = p->ids;
  msub_bytes id;
  while (msub_ids_next(&ids, &id)) q->n += !q->id || msub_bytes_eq(id, msub_str(q->id));
  return true;
}
size_t gs_sent_ids(uint8_t kind, uint64_t link, const char *id) {
  query q = { .kind = kind, .link = link, .id = id };
  walk(with_id, &q);
  return q.n;
}
static bool message(void *ud, const world_sent *s, const msub_rpc_part *p) {
  query *q = ud;
  if (p->kind == MSUB_P_MESSAGE && (!q->link || q->link == s->link)) q->n += !q->id || msub_bytes_eq(id_of_view(&p->msg), msub_str(q->id));
  return true;
}
size_t gs_sent_messages(uint64_t link, const char *id) {
  query q = { .link = link, .id = id };
  walk(message, &q);
  return q.n;
}
size_t gs_sent_rpcs(uint64_t link) {
  size_t n = 0;
  for (size_t i = 0; i < w.n_sent; i++) n += !link || w.sent[i].link == link;
  return n;
}

/* ---- the router's view ---- */

static msub_peer_state states[1024];
static size_t snapshot(msub_topic t) {
  size_t n = msub_snapshot(w.e, t, states, 1024);
  MUST(n <= 1024);
  return n;
}
static const msub_peer_state *state(msub_topic t, uint8_t seed) {
  msub_peer_id id = world_peer_id(seed);
  for (size_t i = 0, n = snapshot(t); i < n; i++)
    if (msub_bytes_eq(msub_peer_bytes(w.sh, states[i].peer), msub_peer_id_bytes(&id))) return &states[i];
  return NULL;
}
uint32_t gs_role(msub_topic t, uint8_t seed) {
  const msub_peer_state *s = state(t, seed);
  return s ? s->roles : 0;
}
bool gs_in_mesh(msub_topic t, uint8_t seed) { return gs_role(t, seed) & MSUB_ROLE_MESH; }
size_t gs_count(msub_topic t, uint32_t role) {
  size_t n = 0;
  for (size_t i = 0, all = snapshot(t); i < all; i++) n += (states[i].roles & role) != 0;
  return n;
}
uint64_t gs_backoff(msub_topic t, uint8_t seed) {
  const msub_peer_state *s = state(t, seed);
  if (!s || !(s->roles & MSUB_ROLE_BACKOFF)) return UINT64_MAX;
  return s->backoff_ns < began ? 0 : (s->backoff_ns - began) / MS;
}
