#include "bench/peer/peer.h"
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define FLOODSUB "/floodsub/1.0.0"

/* ---- a router around the real one, through which a driver can send any control entry ---- */

enum { SEND_CONTROL = 0x70656572 }; /* no command of a router inside */

typedef struct control {
  msub_bytes peer;
  const msub_ctl_entry *e;
  size_t n;
} control;

static const void *options_of(const router_config *c) {
  if (c->inner == &msub_gossipsub) return &c->gossipsub;
  if (c->inner == &msub_lww_router) return &c->lww;
  return c->inner == &msub_randomsub ? &c->randomsub : NULL;
}

static int raw_layout(msub_layout *l, const void *opts) {
  const router_config *c = opts;
  return msub_layout_nest(l, c->inner, options_of(c));
}

static int raw_command(msub_router *r, uint32_t what, const void *arg, size_t n) {
  if (what != SEND_CONTROL) return msub_x_command(msub_r_inner(r), what, arg, n);
  control c;
  if (n != sizeof c) return MSUB_ERR_INVAL;
  memcpy(&c, arg, sizeof c);
  msub_peer p = msub_r_peer_known(r, c.peer);
  msub_session s = p.v ? msub_r_session_of(r, p) : (msub_session){ 0 };
  if (!s.v) return MSUB_ERR_NOTFOUND;
  return msub_r_send(r, &s, 1, c.e, c.n, MSUB_LANE_CONTROL) == 1 ? MSUB_OK : MSUB_ERR_LIMIT;
}

static const msub_router_ops raw = { .abi = MSUB_ABI,
                                     .size = sizeof(msub_router_ops),
                                     .name = "raw",
                                     .layout = raw_layout,
                                     .command = raw_command };

/* ---- cfg ---- */

static const char *direct_peers(router_config *c, const json_t *q) {
  json_t *list = json_object_get(q, "direct"), *each;
  size_t i, n = json_array_size(list);
  if (!n) return NULL;
  c->direct_addrs = take(n * sizeof *c->direct_addrs);
  c->direct_ids = take(n * sizeof *c->direct_ids);
  c->direct_bytes = take(n * sizeof *c->direct_bytes);
  json_array_foreach(list, i, each) {
    if (!json_is_string(each) || !addr_peer(json_string_value(each), &c->direct_ids[i]))
      return "direct: not a list of multiaddresses with /p2p";
    c->direct_addrs[c->n_direct++] = strdup(json_string_value(each));
    c->direct_bytes[i] = msub_peer_id_bytes(&c->direct_ids[i]);
  }
  c->gossipsub.direct = c->direct_bytes;
  c->gossipsub.n_direct = c->n_direct;
  return NULL;
}

static bool degree(const json_t *q, const char *name, uint16_t otherwise, uint16_t *out) {
  uint64_t v = number_of(q, name, otherwise);
  *out = (uint16_t)v;
  return v <= 4096;
}

/* "gater": true, or an object of its parameters by the names of gossipsub.h, durations as NAME_ms. */
static const char *gater(msub_gossipsub_opts *o, const json_t *q) {
  static const struct { const char *name; bool ms; size_t at; } fields[] = {
#define NUMBER(name) { #name, false, offsetof(msub_gossipsub_gater, name) }
#define TIME(name) { #name "_ms", true, offsetof(msub_gossipsub_gater, name##_ns) }
    NUMBER(threshold), NUMBER(global_decay), NUMBER(source_decay), NUMBER(decay_to_zero), TIME(decay_interval), TIME(quiet), TIME(retain),
    NUMBER(duplicate_weight), NUMBER(ignore_weight), NUMBER(reject_weight),
#undef NUMBER
#undef TIME
  };
  json_t *given = json_object_get(q, "gater"), *v;
  const char *name;
  if (!given || json_is_false(given)) return NULL;
  if (!json_is_true(given) && !json_is_object(given)) return "gater: true, false or an object of parameters";
  o->gater.on = true;
  json_object_foreach(given, name, v) {
    size_t i = 0, n = sizeof fields / sizeof *fields;
    while (i < n && strcmp(fields[i].name, name) != 0) i++;
    double x = json_number_value(v);
    if (i == n || !json_is_number(v) || (fields[i].ms && !(x >= 0 && x <= 1e12))) return "gater: an unknown parameter, or no number";
    uint64_t ns = fields[i].ms ? (uint64_t)(x * 1e6) : 0;
    if (fields[i].ms) memcpy((char *)&o->gater + fields[i].at, &ns, sizeof ns);
    else memcpy((char *)&o->gater + fields[i].at, &x, sizeof x);
  }
  return msub_gossipsub_gater_fault(&o->gater, NULL);
}

static const char *gossipsub(router_config *c, const json_t *q) {
  msub_gossipsub_opts *o = &c->gossipsub;
  msub_gossipsub_mesh *m = &o->mesh;
  msub_gossipsub_opts_init(o);
  if (!degree(q, "D", 8, &m->d) || !degree(q, "Dlo", 6, &m->dlo) || !degree(q, "Dhi", 12, &m->dhi) ||
      !degree(q, "Dout", 2, &m->dout) || !degree(q, "Dscore", 4, &m->dscore) ||
      !degree(q, "Dlazy", 6, &m->dlazy))
    return "D, Dlo, Dhi, Dout, Dscore, Dlazy: at most 4096";
  uint64_t beat = number_of(q, "heartbeat_ms", 1000), history = number_of(q, "history", 5),
           gossip = number_of(q, "gossip_history", 3), least = number_of(q, "idontwant_min", 1000);
  if (beat < 1 || beat > 3600000) return "heartbeat_ms: 1 to 3600000";
  if (history > 64 || gossip > 64) return "history, gossip_history: at most 64";
  m->flood_publish = flag_of(q, "flood_publish", false);
  m->idontwant_bytes = least < UINT32_MAX ? (uint32_t)least : UINT32_MAX;
  o->heartbeat_ns = beat * 1000000;
  o->history = (uint8_t)history;
  o->history_gossip = (uint8_t)gossip;
  o->peer_exchange = flag_of(q, "px", false);
  const char *why = direct_peers(c, q);
  if (!why) why = gater(o, q);
  if (!why) why = score_read(&c->score, q, o);
  return why ? why : msub_gossipsub_opts_fault(o);
}

const char *router_read(router_config *c, const json_t *q) {
  const char *name = text_of(q, "router", "gossipsub"), *why = NULL;
  c->name = "gossipsub";
  c->inner = &msub_gossipsub;
  if (strcmp(name, "floodsub") == 0) {
    c->name = "floodsub";
    c->inner = &msub_floodsub;
  } else if (strcmp(name, "randomsub") == 0) {
    uint64_t network = number_of(q, "network_size", 16);
    if (network > UINT32_MAX) return "network_size: at most 4294967295";
    c->name = "randomsub";
    c->inner = &msub_randomsub;
    msub_randomsub_opts_init(&c->randomsub);
    c->randomsub.network = (uint32_t)network;
  } else if (strcmp(name, "lww") == 0) {
    c->name = "lww";
    c->inner = &msub_lww_router;
    if ((why = gossipsub(c, q))) return why;
    msub_lww_router_opts_init(&c->lww);
    c->lww.gossipsub = &c->gossipsub;
  } else if (strcmp(name, "gossipsub") != 0) {
    return "router: gossipsub, randomsub, floodsub and lww are supported";
  } else if ((why = gossipsub(c, q))) {
    return why;
  }
  c->raw = flag_of(q, "raw", false);
  c->ops[0] = c->raw ? &raw : c->inner;
  c->opts[0] = c->raw ? c : options_of(c);
  return NULL;
}

void router_clear(router_config *c) {
  for (size_t i = 0; i < c->n_direct; i++) free(c->direct_addrs[i]);
  free(c->direct_addrs);
  free(c->direct_ids);
  free(c->direct_bytes);
  score_clear(&c->score);
  *c = (router_config){ 0 };
}

bool addr_peer(const char *addr, msub_peer_id *out) {
  msub_multiaddr binary;
  msub_addr a;
  if (msub_multiaddr_parse(addr, &binary) != MSUB_OK) return false;
  if (msub_multiaddr_split((msub_bytes){ binary.bytes, binary.n }, &a) != MSUB_OK || !a.peer_id.n)
    return false;
  out->n = (uint8_t)a.peer_id.n;
  memcpy(out->bytes, a.peer_id.p, a.peer_id.n);
  return true;
}

/* ---- mesh ---- */

static json_t *peer_of(const peer_node *n, msub_peer p) {
  return json_peer(msub_peer_bytes(msub_engine_shared(msub_host_engine(n->host)), p));
}

static size_t list_mesh(const peer_node *n, msub_topic t, json_t *list, json_t *backoff) {
  msub_engine *e = msub_host_engine(n->host);
  size_t cap = msub_snapshot(e, t, NULL, 0), mesh = 0;
  msub_peer_state *v = take(cap * sizeof *v);
  size_t have = msub_snapshot(e, t, v, cap);
  uint64_t now = mono_ns();
  for (size_t i = 0; i < have && i < cap; i++) {
    if (v[i].roles & MSUB_ROLE_MESH) {
      mesh++;
      json_array_append_new(list, peer_of(n, v[i].peer));
    }
    if (v[i].roles & MSUB_ROLE_BACKOFF) {
      char text[MSUB_PEER_ID_TEXT];
      msub_peer_id_text(msub_peer_bytes(msub_engine_shared(e), v[i].peer), text);
      uint64_t left = v[i].backoff_ns > now ? v[i].backoff_ns - now : 0;
      json_object_set_new(backoff, text, json_integer((json_int_t)(left / 1000000)));
    }
  }
  free(v);
  return mesh;
}

/* A router without a mesh sends to whoever subscribed. */
static size_t list_subscribers(const peer_node *n, msub_topic t, json_t *list) {
  const msub_engine *e = msub_host_engine(n->host);
  size_t subs = msub_topic_peers(e, t);
  for (size_t i = 0; i < subs; i++) json_array_append_new(list, peer_of(n, msub_topic_peer(e, t, i)));
  return subs;
}

void router_mesh(const peer *p, const membership *m, json_t *out) {
  const peer_node *n = &p->nodes[0];
  json_t *list = json_array(), *backoff = json_object();
  size_t subs = m ? msub_topic_peers(msub_host_engine(n->host), m->t) : 0, mesh = 0;
  if (m)
    mesh = p->router.inner == &msub_gossipsub ? list_mesh(n, m->t, list, backoff)
                                              : list_subscribers(n, m->t, list);
  json_object_set_new(out, "mesh", json_integer((json_int_t)mesh));
  json_object_set_new(out, "subs", json_integer((json_int_t)subs));
  json_object_set_new(out, "conns", json_integer((json_int_t)msub_host_count(n->host)->connections));
  json_object_set_new(out, "mesh_peers", list);
  json_object_set_new(out, "backoff_ms", backoff);
}

/* ---- direct peers ---- */

const char *router_add_direct(peer *p, const char *addr) {
  msub_peer_id id;
  msub_host *h = p->nodes[0].host;
  if (!addr || !addr_peer(addr, &id)) return "addr: no multiaddress with /p2p";
  if (p->router.inner != &msub_gossipsub) return "the router has no direct peers";
  int err = msub_command(msub_host_engine(h), 0, MSUB_GOSSIPSUB_ADD_DIRECT, id.bytes, id.n, msub_host_now(h));
  return err == MSUB_OK ? NULL : msub_err_text(err);
}

/* ---- any control entry ---- */

typedef struct builder {
  const peer *p;
  msub_ctl_entry *e;
  size_t n;
  void **owned; /* to be freed afterwards */
  size_t n_owned;
  const char *why;
} builder;

static void *own(builder *b, void *block) {
  b->owned = grow(b->owned, b->n_owned + 1, sizeof *b->owned);
  return b->owned[b->n_owned++] = block;
}

static msub_ctl_entry *add(builder *b, uint8_t kind, const char *topic) {
  b->e = grow(b->e, b->n + 1, sizeof *b->e);
  msub_ctl_entry *e = &b->e[b->n++];
  *e = (msub_ctl_entry){ .kind = kind };
  if (kind == MSUB_C_IWANT || kind == MSUB_C_IDONTWANT) return e;
  const msub_engine *engine = msub_host_engine(b->p->nodes[0].host);
  msub_topic t = msub_topic_named(engine, 0, msub_str(topic ? topic : b->p->topics[0]));
  if (t.v)
    e->topic_name = msub_topic_name(engine, t);
  else
    b->why = "a topic that neither side knows";
  return e;
}

static void set_ids(builder *b, msub_ctl_entry *e, const json_t *list) {
  const json_t *each;
  size_t i, n = json_array_size(list);
  msub_bytes *ids = own(b, take(n * sizeof *ids));
  json_array_foreach(list, i, each) {
    uint8_t *bytes = NULL;
    if (!json_is_string(each) || !read_hex(json_string_value(each), &bytes, &ids[i].n)) {
      b->why = "ids: not a list of hex";
      return;
    }
    ids[i].p = own(b, bytes);
  }
  e->ids = ids;
  e->n_ids = (uint32_t)n;
}

static void build(builder *b, const json_t *q) {
  const json_t *each;
  size_t i;
  json_array_foreach(json_object_get(q, "graft"), i, each) add(b, MSUB_C_GRAFT, json_string_value(each));
  json_array_foreach(json_object_get(q, "prune"), i, each) add(b, MSUB_C_PRUNE, text_of(each, "topic", NULL))
      ->backoff_s = number_of(each, "backoff", 0);
  json_array_foreach(json_object_get(q, "ihave"), i, each)
      set_ids(b, add(b, MSUB_C_IHAVE, text_of(each, "topic", NULL)), json_object_get(each, "ids"));
  if (json_object_get(q, "iwant")) set_ids(b, add(b, MSUB_C_IWANT, NULL), json_object_get(q, "iwant"));
  if (json_object_get(q, "idontwant"))
    set_ids(b, add(b, MSUB_C_IDONTWANT, NULL), json_object_get(q, "idontwant"));
}

const char *router_control(peer *p, const json_t *q) {
  msub_peer_id id;
  if (!p->router.raw) return "cfg.raw was not set";
  if (msub_peer_id_parse(text_of(q, "peer", ""), &id) != MSUB_OK) return "peer: no peer id";
  builder b = { .p = p };
  build(&b, q);
  if (!b.why && b.n == 0) b.why = "nothing to send";
  if (!b.why) {
    msub_host *h = p->nodes[0].host;
    control c = { msub_peer_id_bytes(&id), b.e, b.n };
    int err = msub_command(msub_host_engine(h), 0, SEND_CONTROL, &c, sizeof c, msub_host_now(h));
    if (err != MSUB_OK) b.why = err == MSUB_ERR_NOTFOUND ? "not connected" : msub_err_text(err);
  }
  for (size_t i = 0; i < b.n_owned; i++) free(b.owned[i]);
  free(b.owned);
  free(b.e);
  return b.why;
}

bool router_speaks(const peer_node *n, const char *protocol) {
  const char *id;
  for (size_t i = 0; (id = msub_engine_protocol(msub_host_engine(n->host), i)); i++)
    if (strcmp(id, protocol) == 0) return true;
  return false;
}
